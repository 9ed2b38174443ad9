<?php

namespace App\Controller;

use App\Service\Greeter;

class ConstructedController
{
    // constructor

    public function index(): string
    {
        return isset($this->greeter) ? $this->greeter->greet('constructor') : 'no constructor';
    }
}
