<?php

namespace App\Service;

class Whisperer
{
    public function whisper(string $whom): string
    {
        return "psst, {$whom}";
    }
}
