<?php

declare(strict_types=1);

namespace Prefork;

/** Does one task after the other. A task is a line on a connection; what the task returns is the answer. */
final class TaskWorker
{
    private const READ_TIMEOUT = 5;

    private bool $stopping = false;

    /**
     * @param resource $listener
     * @param resource $lifeline readable when the manager is gone
     */
    public function __construct(private readonly Options $options, private $listener, private $lifeline)
    {
    }

    /** @return int the exit code */
    public function run(): int
    {
        Process::handle([SIGTERM], function (): void {
            $this->stopping = true;
        });
        // As Swoole's task workers do, which tells them apart from other processes, seen from outside.
        pcntl_signal(SIGPIPE, static function (): void {
        });
        Process::spend($this->options->startDelay);
        require $this->options->app . '/handler.php';
        while (!$this->stopping) {
            $read = ['lifeline' => $this->lifeline, 'listener' => $this->listener];
            $write = [];
            Process::sleep($read, $write);
            if (isset($read['lifeline'])) {
                break;
            }
            $stream = isset($read['listener']) ? @stream_socket_accept($this->listener, 0.0) : false;
            if ($stream !== false) {
                $this->serve($stream);
            }
        }
        Process::spend($this->options->stopDelay);

        return 0;
    }

    /** @param resource $stream */
    private function serve($stream): void
    {
        stream_set_timeout($stream, self::READ_TIMEOUT);
        $line = fgets($stream);
        if ($line !== false) {
            @fwrite($stream, \task(base64_decode($line), 'task worker ' . getmypid()) . "\n");
        }
        fclose($stream);
    }
}
