<?php

namespace App\Controller;

use App\Service\Greeter;
use App\Service\Woven;
use Hyperf\Di\Annotation\Inject;

class InjectConstructedController
{
    #[Inject]
    protected Greeter $greeter;

    // constructor

    public function index(): string
    {
        return $this->greeter->greet(isset($this->woven) ? 'constructor' : 'no constructor');
    }
}
