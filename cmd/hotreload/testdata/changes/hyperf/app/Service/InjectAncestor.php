<?php

namespace App\Service;

use Hyperf\Di\Annotation\Inject;

abstract class InjectAncestor
{
    #[Inject]
    protected Greeter $greeter;

    public function index(): string
    {
        return $this->greeter->greet('inject parent v1');
    }
}
