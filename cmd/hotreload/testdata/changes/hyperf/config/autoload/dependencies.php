<?php

return [
    App\Contract\Speaker::class => App\Service\LoudSpeaker::class,
];
