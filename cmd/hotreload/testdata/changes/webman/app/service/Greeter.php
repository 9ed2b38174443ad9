<?php

namespace app\service;

class Greeter
{
    public static function greet(string $whom): string
    {
        return "hello, {$whom}";
    }
}
