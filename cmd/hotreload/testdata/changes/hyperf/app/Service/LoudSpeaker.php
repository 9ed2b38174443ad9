<?php

namespace App\Service;

use App\Contract\Speaker;

class LoudSpeaker implements Speaker
{
    public function speak(): string
    {
        return 'loud v1';
    }
}
