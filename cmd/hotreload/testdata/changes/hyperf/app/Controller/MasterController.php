<?php

namespace App\Controller;

use App\Command\SayCommand;
use App\Listener\BootListener;
use App\Listener\ConfiguredListener;
use App\Listener\InjectListener;
use App\Process\ClockProcess;

/** Says what the classes say that the master loads. */
class MasterController
{
    public function index(): string
    {
        return implode(', ', [
            BootListener::$said, InjectListener::$said, ConfiguredListener::$said, SayCommand::text(), ClockProcess::text(),
            defined('ENTRY') ? ENTRY : 'entry v1',
        ]);
    }
}
