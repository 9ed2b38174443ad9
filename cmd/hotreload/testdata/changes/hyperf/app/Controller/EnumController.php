<?php

namespace App\Controller;

use App\Constants\Colour;
use App\Contract\Limits;

class EnumController implements Limits
{
    public function index(): string
    {
        return Colour::Red->value . ', ' . self::MOST;
    }
}
