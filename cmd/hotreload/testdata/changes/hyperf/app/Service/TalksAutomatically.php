<?php

namespace App\Service;

trait TalksAutomatically
{
    public function talk(): string
    {
        return 'automatic trait v1';
    }
}
