<?php

return [
    'handler' => [
        'http' => [
            App\Exception\Handler\AppExceptionHandler::class,
        ],
    ],
];
