<?php

namespace App\Controller;

use App\Service\Greeter;
use Hyperf\Di\Annotation\Inject;

class InjectController
{
    #[Inject]
    protected Greeter $greeter;

    public function index(): string
    {
        return $this->greeter->greet('inject v1');
    }
}
