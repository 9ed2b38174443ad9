<?php

namespace App\Controller;

use Hyperf\View\RenderInterface;

class ViewController
{
    /** One at a time: a view that one worker compiles, another would show half written. */
    public function index(RenderInterface $render)
    {
        $lock = fopen(BASE_PATH . '/runtime/view.lock', 'c');
        flock($lock, LOCK_EX);
        try {
            return $render->render('page');
        } finally {
            flock($lock, LOCK_UN);
        }
    }
}
