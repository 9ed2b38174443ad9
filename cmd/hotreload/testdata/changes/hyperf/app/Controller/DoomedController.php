<?php

namespace App\Controller;

use Hyperf\HttpServer\Annotation\AutoController;

#[AutoController(prefix: 'doomed')]
class DoomedController
{
    public function index(): string
    {
        return 'still here';
    }
}
