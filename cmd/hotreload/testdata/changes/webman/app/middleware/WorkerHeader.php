<?php

namespace app\middleware;

use Webman\Http\Request;
use Webman\Http\Response;
use Webman\MiddlewareInterface;

/** Says who answers. */
class WorkerHeader implements MiddlewareInterface
{
    public function process(Request $request, callable $handler): Response
    {
        return $handler($request)->withHeader('X-Worker', getmypid());
    }
}
