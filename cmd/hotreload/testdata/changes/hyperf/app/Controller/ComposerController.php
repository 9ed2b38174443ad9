<?php

namespace App\Controller;

class ComposerController
{
    public function index(): string
    {
        return \helper() . ', ' . (function_exists('more') ? \more() : 'no more');
    }
}
