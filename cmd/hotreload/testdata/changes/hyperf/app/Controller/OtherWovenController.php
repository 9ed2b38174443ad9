<?php

namespace App\Controller;

use App\Service\OtherWoven;

class OtherWovenController
{
    public function __construct(private OtherWoven $woven)
    {
    }

    public function index(): string
    {
        return $this->woven->text();
    }
}
