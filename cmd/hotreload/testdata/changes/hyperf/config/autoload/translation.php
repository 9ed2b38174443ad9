<?php

return [
    'locale' => 'en',
    'fallback_locale' => 'en',
    'path' => BASE_PATH . '/storage/languages',
];
