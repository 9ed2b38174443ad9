<?php

namespace App\Controller;

use function Hyperf\Translation\__;

class LangController
{
    public function index(): string
    {
        return __('messages.text') . ', ' . __('others.text');
    }
}
