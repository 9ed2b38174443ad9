<?php

namespace app\exception;

use Throwable;
use Webman\Exception\ExceptionHandler;
use Webman\Http\Request;
use Webman\Http\Response;

class Handler extends ExceptionHandler
{
    public function report(Throwable $exception)
    {
    }

    public function render(Request $request, Throwable $exception): Response
    {
        return response("handler v1: {$exception->getMessage()}");
    }
}
