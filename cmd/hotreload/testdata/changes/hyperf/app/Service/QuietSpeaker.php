<?php

namespace App\Service;

use App\Contract\Speaker;

class QuietSpeaker implements Speaker
{
    public function speak(): string
    {
        return 'quiet v1';
    }
}
