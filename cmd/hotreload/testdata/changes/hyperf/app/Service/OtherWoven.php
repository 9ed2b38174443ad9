<?php

namespace App\Service;

class OtherWoven
{
    public function text(): string
    {
        return 'other woven v1';
    }
}
