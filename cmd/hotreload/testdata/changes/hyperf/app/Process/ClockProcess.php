<?php

namespace App\Process;

use Hyperf\Process\AbstractProcess;
use Hyperf\Process\Annotation\Process;
use Hyperf\Process\ProcessManager;

#[Process(name: 'clock')]
class ClockProcess extends AbstractProcess
{
    public static function text(): string
    {
        return 'process v1';
    }

    public function handle(): void
    {
        while (ProcessManager::isRunning()) {
            sleep(1);
        }
    }
}
