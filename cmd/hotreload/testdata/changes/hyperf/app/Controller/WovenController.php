<?php

namespace App\Controller;

use App\Service\Woven;

class WovenController
{
    public function __construct(private Woven $woven)
    {
    }

    public function index(): string
    {
        return $this->woven->text();
    }
}
