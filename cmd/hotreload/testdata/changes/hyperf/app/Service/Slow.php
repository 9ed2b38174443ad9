<?php

namespace App\Service;

class Slow
{
    public function text(): string
    {
        return 'lazy v1';
    }
}
