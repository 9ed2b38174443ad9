<?php

namespace App\Controller;

use App\Service\Greeter;
use Hyperf\Di\Annotation\Inject;

/** Is saved in all the ways in which files are saved. */
class SavedController
{
    #[Inject]
    protected Greeter $greeter;

    public function index(): string
    {
        return $this->greeter->greet('saved v1');
    }
}
