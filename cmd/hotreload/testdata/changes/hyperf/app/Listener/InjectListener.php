<?php

namespace App\Listener;

use App\Service\Whisperer;
use Hyperf\Di\Annotation\Inject;
use Hyperf\Event\Annotation\Listener;
use Hyperf\Event\Contract\ListenerInterface;
use Hyperf\Framework\Event\AfterWorkerStart;

#[Listener]
class InjectListener implements ListenerInterface
{
    public static string $said = '';

    #[Inject]
    protected Whisperer $whisperer;

    public function listen(): array
    {
        return [AfterWorkerStart::class];
    }

    public function process(object $event): void
    {
        self::$said = $this->whisperer->whisper('listener v1');
    }
}
