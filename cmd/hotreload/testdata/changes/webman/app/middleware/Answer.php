<?php

namespace app\middleware;

use Webman\Http\Request;
use Webman\Http\Response;
use Webman\MiddlewareInterface;

class Answer implements MiddlewareInterface
{
    public function process(Request $request, callable $handler): Response
    {
        return $request->path() === '/answered/index' ? response('middleware v1') : $handler($request);
    }
}
