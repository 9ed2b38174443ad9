<?php

return [
    App\Listener\ConfiguredListener::class,
    Hyperf\ExceptionHandler\Listener\ErrorExceptionHandler::class,
];
