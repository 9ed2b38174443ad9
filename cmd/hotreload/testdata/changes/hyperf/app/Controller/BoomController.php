<?php

namespace App\Controller;

class BoomController
{
    public function index(): string
    {
        throw new \RuntimeException('boom');
    }
}
