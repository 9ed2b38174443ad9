<?php

namespace App\Constants;

enum Colour: string
{
    case Red = 'red v1';
}
