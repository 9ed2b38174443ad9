<?php

namespace App\Controller;

use App\Service\TalksToo;

class InjectTraitController
{
    use TalksToo;

    public function index(): string
    {
        return $this->talk();
    }
}
