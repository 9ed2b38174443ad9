<?php

namespace App\Controller;

use App\Middleware\StampMiddleware;
use Hyperf\HttpServer\Annotation\Controller;
use Hyperf\HttpServer\Annotation\GetMapping;
use Hyperf\HttpServer\Annotation\Middleware;

#[Controller(prefix: 'mapped')]
class MappedController
{
    #[GetMapping(path: 'first')]
    public function first(): string
    {
        return 'mapped v1';
    }
}
