<?php

namespace App;

trait Talks
{
    public static function talk(): string
    {
        return 'trait v1';
    }
}
