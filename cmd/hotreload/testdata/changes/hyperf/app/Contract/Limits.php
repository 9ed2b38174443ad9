<?php

namespace App\Contract;

interface Limits
{
    public const MOST = 'most v1';
}
