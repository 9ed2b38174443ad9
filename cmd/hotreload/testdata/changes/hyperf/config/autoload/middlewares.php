<?php

return [
    'http' => [
        App\Middleware\WorkerMiddleware::class,
        App\Middleware\AnswerMiddleware::class,
    ],
];
