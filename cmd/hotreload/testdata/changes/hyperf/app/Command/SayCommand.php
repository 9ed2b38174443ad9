<?php

namespace App\Command;

use Hyperf\Command\Annotation\Command;
use Hyperf\Command\Command as HyperfCommand;

#[Command]
class SayCommand extends HyperfCommand
{
    protected ?string $name = 'say';

    public static function text(): string
    {
        return 'command v1';
    }

    public function handle()
    {
        $this->line(self::text());
    }
}
