<?php

namespace App\Service;

class Greeter
{
    public function greet(string $whom): string
    {
        return "hello, {$whom}";
    }
}
