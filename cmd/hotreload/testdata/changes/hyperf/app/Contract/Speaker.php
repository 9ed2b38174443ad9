<?php

namespace App\Contract;

interface Speaker
{
    public function speak(): string;
}
