<?php

namespace App\Listener;

use Hyperf\Event\Contract\ListenerInterface;
use Hyperf\Framework\Event\AfterWorkerStart;

/** Is named in config/autoload/listeners.php. */
class ConfiguredListener implements ListenerInterface
{
    public static string $said = '';

    public function listen(): array
    {
        return [AfterWorkerStart::class];
    }

    public function process(object $event): void
    {
        self::$said = 'configured listener v1';
    }
}
