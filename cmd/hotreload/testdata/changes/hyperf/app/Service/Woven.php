<?php

namespace App\Service;

class Woven
{
    public function text(): string
    {
        return 'woven v1';
    }
}
