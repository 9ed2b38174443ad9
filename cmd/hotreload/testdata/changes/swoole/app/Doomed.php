<?php

namespace App;

class Doomed
{
    public static function text(): string
    {
        return 'old class';
    }
}
