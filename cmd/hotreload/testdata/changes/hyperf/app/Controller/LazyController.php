<?php

namespace App\Controller;

use App\Service\Slow;
use Hyperf\Di\Annotation\Inject;

class LazyController
{
    #[Inject(lazy: true)]
    protected Slow $slow;

    public function index(): string
    {
        return $this->slow->text();
    }
}
