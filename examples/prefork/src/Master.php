<?php

declare(strict_types=1);

namespace Prefork;

use RuntimeException;

/**
 * The process that was started. It binds the port, writes the pid file, starts the manager, and passes signals on.
 * It holds no application code, and so never needs to be reloaded.
 */
final class Master
{
    private const BACKLOG = 511;

    /** The exit code when the address cannot be had: EADDRINUSE, as Swoole's. */
    private const NOT_BOUND = 98;

    /** @var list<int> signals that arrived and were not looked at yet */
    private array $signals = [];

    private ?string $taskPath = null;

    public function __construct(private readonly Options $options)
    {
    }

    /** @return int the exit code */
    public function run(): int
    {
        try {
            $listener = $this->listen("tcp://{$this->address()}");
            $taskListener = $this->listenForTasks();
            $this->writePidFile();
        } catch (RuntimeException $e) {
            Process::log('master', $e->getMessage());

            return $e->getCode() ?: 1;
        }
        // The children leave these calls through exit().
        $code = $this->options->mode === 'base'
            ? $this->runBase($listener, $taskListener)
            : $this->runProcess($listener, $taskListener);
        $this->cleanUp();

        return $code;
    }

    /**
     * @param resource $listener
     * @param resource|null $taskListener
     */
    private function runBase($listener, $taskListener): int
    {
        Process::spend($this->options->handlerDelay);
        if ($this->options->isSingleProcess()) {
            return (new Worker($this->options, $listener, null, null))->run();
        }

        return (new Manager($this->options, $listener, $taskListener, $this->taskPath, null))->run();
    }

    /**
     * @param resource $listener
     * @param resource|null $taskListener
     */
    private function runProcess($listener, $taskListener): int
    {
        // Nobody ever writes to the lifeline. It closes when the master is gone, also by SIGKILL, and the manager sees it.
        [$lifeline, $end] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        $manager = Process::fork(function () use ($listener, $taskListener, $lifeline, $end): int {
            fclose($end);

            return (new Manager($this->options, $listener, $taskListener, $this->taskPath, $lifeline))->run();
        });
        fclose($lifeline);
        // Until the next statement has run, a signal ends the master and leaves the pid file behind. Swoole has the same gap.
        Process::spend($this->options->handlerDelay);
        Process::handle([SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGCHLD], function (int $signal): void {
            $this->signals[] = $signal;
        });
        Process::log('master', "listens on {$this->address()}, manager {$manager}");

        return $this->watch($manager, $end);
    }

    /** @param resource $end */
    private function watch(int $manager, $end): int
    {
        $stopping = false;
        while (true) {
            while (($signal = array_shift($this->signals)) !== null) {
                if ($signal === SIGUSR1 || $signal === SIGUSR2) {
                    posix_kill($manager, $signal);
                } elseif ($signal !== SIGCHLD) {
                    $stopping = true;
                    posix_kill($manager, SIGTERM);
                }
            }
            if (pcntl_waitpid($manager, $status, WNOHANG) === $manager) {
                break;
            }
            $read = [$end];
            $write = [];
            Process::sleep($read, $write);
        }
        Process::log('master', $stopping ? 'stopped' : 'the manager is gone');

        return $stopping ? 0 : 1;
    }

    private function address(): string
    {
        $host = str_contains($this->options->host, ':') ? "[{$this->options->host}]" : $this->options->host;

        return "{$host}:{$this->options->port}";
    }

    /** @return resource a socket that all workers accept from; what waits in its queue belongs to none of them */
    private function listen(string $address)
    {
        $context = stream_context_create(['socket' => ['backlog' => self::BACKLOG, 'tcp_nodelay' => true]]);
        $flags = STREAM_SERVER_BIND | STREAM_SERVER_LISTEN;
        $listener = @stream_socket_server($address, $code, $message, $flags, $context);
        if ($listener === false) {
            throw new RuntimeException("listen on {$address}: {$message}", self::NOT_BOUND);
        }
        // All workers wake up for a connection and one gets it. The others must not wait for the next.
        stream_set_blocking($listener, false);

        return $listener;
    }

    /** @return resource|null */
    private function listenForTasks()
    {
        if ($this->options->tasks === 0) {
            return null;
        }
        $this->taskPath = sys_get_temp_dir() . '/prefork-' . getmypid() . '.sock';
        @unlink($this->taskPath);

        return $this->listen("unix://{$this->taskPath}");
    }

    private function writePidFile(): void
    {
        $directory = dirname($this->options->pidFile);
        if (!is_dir($directory) && !@mkdir($directory, 0777, true) && !is_dir($directory)) {
            throw new RuntimeException("create directory {$directory}");
        }
        if (@file_put_contents($this->options->pidFile, (string) getmypid()) === false) {
            throw new RuntimeException("write pid file {$this->options->pidFile}");
        }
    }

    /** Removes the pid file by its name, without a look at whose pid is in it: as Swoole and Workerman do. */
    private function cleanUp(): void
    {
        @unlink($this->options->pidFile);
        if ($this->taskPath !== null) {
            @unlink($this->taskPath);
        }
    }
}
