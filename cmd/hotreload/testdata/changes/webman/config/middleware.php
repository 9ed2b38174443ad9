<?php

return [
    '@' => [app\middleware\WorkerHeader::class],
    '' => [app\middleware\Answer::class],
];
