<?php

namespace app\bootstrap;

use Webman\Bootstrap;

class Boot implements Bootstrap
{
    public static string $said = '';

    public static function start($worker)
    {
        self::$said = 'boot v1';
    }
}
