<?php

namespace App\Controller;

use App\Contract\Speaker;
use Hyperf\Di\Annotation\Inject;

class SpeakerController
{
    #[Inject]
    protected Speaker $speaker;

    public function index(): string
    {
        return $this->speaker->speak();
    }
}
