<?php

declare(strict_types=1);

namespace Prefork;

use InvalidArgumentException;

/**
 * What the command line and the environment say. --max-request=10 and PREFORK_MAX_REQUEST=10 are the same; the
 * command line wins.
 */
final class Options
{
    /** name => [default, what it is]; an integer default makes an integer option. */
    private const TABLE = [
        'host' => ['127.0.0.1', 'address to listen on'],
        'port' => [9501, 'port to listen on'],
        'workers' => [4, 'workers that answer HTTP'],
        'tasks' => [2, 'task workers'],
        'user-processes' => [0, 'processes that no reload touches'],
        'mode' => ['process', 'process: master, manager, workers; base: no manager'],
        'pid-file' => ['runtime/server.pid', 'relative to this directory'],
        'app' => ['app', 'what the workers load; relative to this directory'],
        'max-request' => [0, 'a worker is replaced after so many requests; 0: never'],
        'max-wait-time' => [3, 'seconds that an old worker has to finish before it is killed'],
        'start-delay' => [0, 'milliseconds a worker takes to start'],
        'stop-delay' => [0, 'milliseconds a worker takes to stop'],
        'handler-delay' => [0, 'milliseconds in which the pid file exists and a signal still kills the master'],
    ];

    private function __construct(
        public readonly string $host,
        public readonly int $port,
        public readonly int $workers,
        public readonly int $tasks,
        public readonly int $userProcesses,
        public readonly string $mode,
        public readonly string $pidFile,
        public readonly string $app,
        public readonly int $maxRequest,
        public readonly int $maxWaitTime,
        public readonly int $startDelay,
        public readonly int $stopDelay,
        public readonly int $handlerDelay,
    ) {
    }

    /**
     * @param list<string> $arguments
     * @param array<string, string> $environment
     *
     * @return self|null null when help was asked for
     */
    public static function parse(array $arguments, array $environment, string $directory): ?self
    {
        $given = self::fromArguments($arguments);
        if ($given === null) {
            return null;
        }
        $values = [];
        foreach (self::TABLE as $name => [$default]) {
            $variable = 'PREFORK_' . strtoupper(strtr($name, '-', '_'));
            $values[] = self::value($name, $given[$name] ?? $environment[$variable] ?? null, $default);
        }
        $options = new self(...$values);
        if (!in_array($options->mode, ['process', 'base'], true)) {
            throw new InvalidArgumentException("--mode is process or base, not {$options->mode}");
        }
        if ($options->workers < 1 || $options->port > 65535) {
            throw new InvalidArgumentException('there must be a worker, and a port below 65536');
        }
        $values[array_search('pid-file', array_keys(self::TABLE), true)] = self::path($options->pidFile, $directory);
        $values[array_search('app', array_keys(self::TABLE), true)] = self::path($options->app, $directory);

        return new self(...$values);
    }

    public static function usage(): string
    {
        $lines = ["Usage: php server.php [--NAME=VALUE ...]   (or the environment: PREFORK_NAME=VALUE)\n"];
        foreach (self::TABLE as $name => [$default, $meaning]) {
            $lines[] = sprintf("  --%-16s %s (%s)\n", $name, $meaning, $default);
        }

        return implode('', $lines);
    }

    /** One process does everything, and ignores reload signals: there is nobody to start a new worker. */
    public function isSingleProcess(): bool
    {
        return $this->mode === 'base' && $this->workers === 1 && $this->tasks === 0 && $this->userProcesses === 0;
    }

    /**
     * @param list<string> $arguments
     *
     * @return array<string, string>|null
     */
    private static function fromArguments(array $arguments): ?array
    {
        $given = [];
        foreach ($arguments as $argument) {
            if ($argument === '--help' || $argument === '-h') {
                return null;
            }
            if (!preg_match('/^--([a-z-]+)=(.*)$/s', $argument, $match) || !isset(self::TABLE[$match[1]])) {
                throw new InvalidArgumentException("unknown argument {$argument}");
            }
            $given[$match[1]] = $match[2];
        }

        return $given;
    }

    private static function value(string $name, ?string $text, int|string $default): int|string
    {
        if ($text === null || $text === '') {
            return $default;
        }
        if (is_string($default)) {
            return $text;
        }
        if (!ctype_digit($text)) {
            throw new InvalidArgumentException("--{$name} is a number, not {$text}");
        }

        return (int) $text;
    }

    private static function path(string $path, string $directory): string
    {
        return str_starts_with($path, '/') ? $path : $directory . '/' . $path;
    }
}
