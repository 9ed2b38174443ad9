<?php

namespace App;

class Plain
{
    public static function text(): string
    {
        return 'class v1';
    }
}
