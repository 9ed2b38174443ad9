<?php

namespace App\Controller;

use function Hyperf\Config\config;
use function Hyperf\Support\env;

class ConfiguredController
{
    public function index(): string
    {
        return config('table.text') . ', ' . env('TABLE_TEXT');
    }
}
