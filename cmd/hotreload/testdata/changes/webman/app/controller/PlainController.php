<?php

namespace app\controller;

use app\service\Greeter;

class PlainController
{
    // constructor

    public function index()
    {
        return response(Greeter::greet('plain v1'));
    }

    public function boom()
    {
        throw new \RuntimeException('boom');
    }
}
