<?php

namespace app\service;

class Doomed
{
    public static function text(): string
    {
        return 'old class';
    }
}
