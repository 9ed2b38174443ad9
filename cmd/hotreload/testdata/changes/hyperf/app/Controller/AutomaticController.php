<?php

namespace App\Controller;

use App\Service\TalksAutomatically;
use Hyperf\HttpServer\Annotation\AutoController;

#[AutoController(prefix: 'automatic')]
class AutomaticController
{
    use TalksAutomatically;

    public function first(): string
    {
        return 'automatic v1';
    }
}
