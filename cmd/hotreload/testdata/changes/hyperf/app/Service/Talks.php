<?php

namespace App\Service;

trait Talks
{
    public function talk(): string
    {
        return 'trait v1';
    }
}
