<?php

declare(strict_types=1);

namespace Prefork;

/** Something that runs beside the workers, such as a consumer of a queue (Swoole: addProcess). No reload touches it. */
final class UserProcess
{
    private bool $stopping = false;

    /** @param resource $lifeline readable when the manager is gone */
    public function __construct(private $lifeline)
    {
    }

    /** @return int the exit code */
    public function run(): int
    {
        Process::handle([SIGTERM], function (): void {
            $this->stopping = true;
        });
        while (!$this->stopping) {
            $read = [$this->lifeline];
            $write = [];
            Process::sleep($read, $write);
            $this->stopping = $this->stopping || $read !== [];
        }

        return 0;
    }
}
