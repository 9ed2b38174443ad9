<?php

declare(strict_types=1);

namespace Prefork;

/**
 * The parent of all workers: starts them, starts them again, replaces them. In base mode the master does this itself.
 *
 * It does what Swoole does (src/server/manager.cc), also where that is not what one would wish for: a reload that is
 * asked for while one runs is dropped, and a worker that dies is started again at once, however often.
 */
final class Manager
{
    private const WORKER = 'worker';
    private const TASK_WORKER = 'task worker';
    private const USER_PROCESS = 'user process';

    /** Seconds between two looks while something is expected to happen soon. */
    private const SHORT_SLEEP = 0.02;

    /** @var list<int> signals that arrived and were not looked at yet */
    private array $signals = [];

    /** @var array<int, array{string, int}> pid => kind and number; the processes that must be there */
    private array $children = [];

    /** @var array<int, true> pids of old workers whose replacements already run */
    private array $detached = [];

    /** @var array<int, true>|null pids that the running reload waits for; null: none runs */
    private ?array $reloading = null;

    /** @var list<int> pids that the running reload still has to stop, one after the other */
    private array $queue = [];

    private float $killAt = INF;

    /** @var resource the workers' ends of the lifeline: readable when this process is gone */
    private $lifeline;

    /** @var resource */
    private $lifelineEnd;

    /**
     * @param resource $listener
     * @param resource|null $taskListener
     * @param resource|null $parent readable when the master is gone; null when this process is the master
     */
    public function __construct(
        private readonly Options $options,
        private $listener,
        private $taskListener,
        private readonly ?string $taskPath,
        private $parent,
    ) {
    }

    /** @return int the exit code */
    public function run(): int
    {
        [$this->lifeline, $this->lifelineEnd] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        // Ctrl-C reaches every process of the terminal. Only the master answers it.
        $stop = $this->parent === null ? [SIGTERM, SIGINT] : [SIGTERM];
        Process::handle([...$stop, SIGUSR1, SIGUSR2, SIGCHLD], function (int $signal): void {
            $this->signals[] = $signal;
        });
        $this->startAll();
        while (!$this->mustStop()) {
            $this->reap(true);
            $this->killLate();
            $this->sleep();
        }
        $this->stopAll();

        return 0;
    }

    private function startAll(): void
    {
        foreach ([
            self::TASK_WORKER => $this->options->tasks,
            self::WORKER => $this->options->workers,
            self::USER_PROCESS => $this->options->userProcesses,
        ] as $kind => $count) {
            for ($number = 0; $number < $count; $number++) {
                $this->start($kind, $number);
            }
        }
    }

    private function start(string $kind, int $number): void
    {
        $pid = Process::fork(function () use ($kind): int {
            fclose($this->lifelineEnd);
            if ($this->parent !== null) {
                fclose($this->parent);
            }

            return match ($kind) {
                self::WORKER => (new Worker($this->options, $this->listener, $this->taskPath, $this->lifeline))->run(),
                self::TASK_WORKER => (new TaskWorker($this->options, $this->taskListener, $this->lifeline))->run(),
                self::USER_PROCESS => (new UserProcess($this->lifeline))->run(),
            };
        });
        $this->children[$pid] = [$kind, $number];
    }

    /** Looks at the signals that arrived. */
    private function mustStop(): bool
    {
        while (($signal = array_shift($this->signals)) !== null) {
            if ($signal === SIGTERM || $signal === SIGINT) {
                return true;
            }
            if ($signal === SIGUSR1 || $signal === SIGUSR2) {
                $this->reload($signal === SIGUSR1);
            }
        }

        return $this->parentIsGone();
    }

    private function parentIsGone(): bool
    {
        if ($this->parent === null) {
            return false;
        }
        $read = [$this->parent];
        $write = [];
        Process::sleep($read, $write, 0.0);

        return $read !== [];
    }

    private function reload(bool $all): void
    {
        if ($this->reloading !== null) {
            Process::log('manager', 'a reload is running: this signal is dropped');

            return;
        }
        if (!$all && $this->options->tasks === 0) {
            Process::log('manager', 'WARNING cannot reload task workers: there are none');

            return;
        }
        Process::log('manager', $all ? 'reloads all workers' : 'reloads the task workers');
        $this->killAt = Process::now() + $this->options->maxWaitTime;
        $this->reloading = [];
        foreach ($this->children as $pid => [$kind]) {
            if ($kind === self::TASK_WORKER || ($all && $kind === self::WORKER)) {
                $this->reloading[$pid] = true;
            }
        }
        if ($all) {
            array_map($this->replace(...), array_keys($this->reloading));
        } else {
            $this->queue = array_keys($this->reloading);
            $this->stopNext();
        }
    }

    /**
     * Stops one worker. In process mode the replacement of a worker runs before the old one has finished what it has;
     * task workers, and all workers in base mode, are started again when they have ended.
     */
    private function replace(int $pid): void
    {
        [$kind, $number] = $this->children[$pid];
        if ($kind === self::WORKER && $this->options->mode === 'process') {
            $this->detached[$pid] = true;
            unset($this->children[$pid]);
            $this->start($kind, $number);
        }
        posix_kill($pid, SIGTERM);
    }

    private function stopNext(): void
    {
        $pid = array_shift($this->queue);
        if ($pid !== null) {
            posix_kill($pid, SIGTERM);
        }
    }

    /** Buries the dead and, if $again, starts them again at once. */
    private function reap(bool $again): void
    {
        while (($pid = pcntl_waitpid(-1, $status, WNOHANG)) > 0) {
            [$kind, $number] = $this->children[$pid] ?? [null, 0];
            unset($this->children[$pid], $this->detached[$pid]);
            if ($kind !== null && $again) {
                $this->report($kind, $pid, $status);
                $this->start($kind, $number);
            }
            if (isset($this->reloading[$pid])) {
                unset($this->reloading[$pid]);
                $this->stopNext();
            }
        }
        if ($this->reloading === []) {
            $this->reloading = null;
            $this->killAt = INF;
            Process::log('manager', 'reloaded');
        }
    }

    private function report(string $kind, int $pid, int $status): void
    {
        if (pcntl_wifsignaled($status)) {
            Process::log('manager', "WARNING {$kind} {$pid} was ended by signal " . pcntl_wtermsig($status));
        } elseif (pcntl_wexitstatus($status) !== 0) {
            Process::log('manager', "WARNING {$kind} {$pid} ended with " . pcntl_wexitstatus($status));
        }
    }

    private function killLate(): void
    {
        if (Process::now() < $this->killAt) {
            return;
        }
        $this->killAt = INF;
        $this->queue = [];
        foreach (array_keys($this->reloading ?? $this->children + $this->detached) as $pid) {
            Process::log('manager', "WARNING kills {$pid}: it did not end in time");
            posix_kill($pid, SIGKILL);
        }
    }

    private function sleep(): void
    {
        $read = $this->parent === null ? [$this->lifeline] : [$this->parent];
        $write = [];
        $soon = $this->reloading !== null ? self::SHORT_SLEEP : $this->killAt - Process::now();
        if ($this->signals === []) {
            Process::sleep($read, $write, $soon);
        }
    }

    private function stopAll(): void
    {
        if ($this->taskPath !== null) {
            @unlink($this->taskPath); // the master may not live to do it
        }
        $this->reloading = null;
        $this->killAt = Process::now() + $this->options->maxWaitTime;
        foreach (array_keys($this->children + $this->detached) as $pid) {
            posix_kill($pid, SIGTERM);
        }
        while ($this->children + $this->detached !== []) {
            $this->reap(false);
            $this->killLate();
            usleep((int) (self::SHORT_SLEEP * 1e6)); // a child's end ends the sleep
        }
    }
}
