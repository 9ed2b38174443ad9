<?php

namespace App\Exception\Handler;

use Hyperf\ExceptionHandler\ExceptionHandler;
use Hyperf\HttpMessage\Stream\SwooleStream;
use Psr\Http\Message\ResponseInterface;
use Throwable;

class AppExceptionHandler extends ExceptionHandler
{
    public function handle(Throwable $throwable, ResponseInterface $response)
    {
        $text = "handler v1: {$throwable->getMessage()}";
        return $response->withHeader('X-Worker', (string) getmypid())->withBody(new SwooleStream($text));
    }

    public function isValid(Throwable $throwable): bool
    {
        return true;
    }
}
