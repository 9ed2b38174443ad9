<?php

namespace App\Controller;

use App\Service\Talks;

class TraitController
{
    use Talks;

    public function index(): string
    {
        return $this->talk();
    }
}
