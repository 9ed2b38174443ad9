<?php

namespace App\Service;

class Doomed
{
    public static function text(): string
    {
        return 'old class';
    }
}
