<?php

namespace App\Controller;

class PlainController
{
    public function index(): string
    {
        return 'plain v1';
    }
}
