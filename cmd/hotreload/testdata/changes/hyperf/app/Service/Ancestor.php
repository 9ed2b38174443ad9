<?php

namespace App\Service;

abstract class Ancestor
{
    public function index(): string
    {
        return 'parent v1';
    }
}
