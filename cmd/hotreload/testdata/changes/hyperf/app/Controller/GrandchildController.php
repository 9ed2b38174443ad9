<?php

namespace App\Controller;

use App\Service\Greeter;
use Hyperf\Di\Annotation\Inject;

class GrandchildController extends ChildController
{
    #[Inject]
    protected Greeter $greeter;

    public function index(): string
    {
        return $this->greeter->greet(parent::index());
    }
}
