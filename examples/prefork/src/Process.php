<?php

declare(strict_types=1);

namespace Prefork;

use RuntimeException;

/** What every process of the server does in the same way: fork, take signals, sleep, talk. */
final class Process
{
    /**
     * How long a process sleeps at most, in seconds. A signal ends the sleep; but PHP runs its handlers between two
     * instructions, so one that arrives just before the system call is noticed when the call returns.
     */
    private const LONGEST_SLEEP = 1.0;

    private const CAUGHT = [SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD];

    /**
     * Forks; the child runs $main and exits with what it returns. Signals are blocked around the fork, or the child
     * would for a moment answer them with its parent's handlers. $main unblocks them with handle().
     *
     * @param callable(): int $main
     */
    public static function fork(callable $main): int
    {
        pcntl_sigprocmask(SIG_BLOCK, self::CAUGHT, $before);
        $pid = pcntl_fork();
        if ($pid === 0) {
            exit($main());
        }
        pcntl_sigprocmask(SIG_SETMASK, $before);
        if ($pid < 0) {
            throw new RuntimeException('fork: ' . pcntl_strerror(pcntl_get_last_error()));
        }

        return $pid;
    }

    /**
     * From now on $handler is called with the signals in $signals; the others of CAUGHT are ignored. SIGCHLD cannot
     * be ignored, or the kernel would reap the children.
     *
     * @param list<int> $signals
     * @param callable(int): void $handler
     */
    public static function handle(array $signals, callable $handler): void
    {
        pcntl_async_signals(true);
        foreach (self::CAUGHT as $signal) {
            $otherwise = $signal === SIGCHLD ? SIG_DFL : SIG_IGN;
            pcntl_signal($signal, in_array($signal, $signals, true) ? $handler : $otherwise, false);
        }
        pcntl_sigprocmask(SIG_UNBLOCK, self::CAUGHT);
    }

    /**
     * Sleeps until a stream is ready, a signal arrives or $seconds have passed. $read and $write keep the ready ones.
     *
     * @param array<int|string, resource> $read
     * @param array<int|string, resource> $write
     */
    public static function sleep(array &$read, array &$write, float $seconds = self::LONGEST_SLEEP): void
    {
        $microseconds = (int) (max(0.0, min($seconds, self::LONGEST_SLEEP)) * 1e6);
        $except = null;
        // The warning is EINTR: a signal ended the sleep.
        $ready = @stream_select($read, $write, $except, intdiv($microseconds, 1000000), $microseconds % 1000000);
        if ($ready === false) {
            $read = $write = [];
        }
    }

    /** Takes its time whatever signals arrive, as code does that is busy computing. */
    public static function spend(int $milliseconds): void
    {
        $end = self::now() + $milliseconds / 1000;
        while (($left = $end - self::now()) > 0) {
            usleep((int) ceil($left * 1e6));
        }
    }

    /** Seconds on a clock that nobody sets. */
    public static function now(): float
    {
        return hrtime(true) / 1e9;
    }

    public static function log(string $who, string $message): void
    {
        fwrite(STDERR, sprintf("[%s %d %s] %s\n", date('H:i:s'), getmypid(), $who, $message));
    }
}
