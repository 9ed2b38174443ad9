<?php

declare(strict_types=1);

namespace Prefork;

/**
 * Answers HTTP. Many connections at a time in one process: neither a slow client nor a slow answer holds up another.
 */
final class Worker
{
    /** stream_select() takes descriptors below 1024. */
    private const MOST_CONNECTIONS = 400;

    /** Seconds that a stopping worker waits for the next request on a connection: see Connection::closableAt(). */
    private const GRACE_AFTER_ANSWER = 0.5;
    private const GRACE_AFTER_ACCEPT = 1.0;

    private bool $stopping = false;
    private int $requests = 0;
    private int $lastId = 0;

    /** @var array<int, Connection> */
    private array $connections = [];

    /** @var array<int, array{float, string}> id of a connection => when its answer is due, and the answer */
    private array $later = [];

    /** @var array<int, array{resource, string}> id of a connection => the task worker's end, and what it said so far */
    private array $tasks = [];

    /**
     * @param resource $listener
     * @param resource|null $lifeline readable when the manager is gone; null when there is none
     */
    public function __construct(
        private readonly Options $options,
        private $listener,
        private readonly ?string $taskPath,
        private $lifeline,
    ) {
    }

    /** @return int the exit code */
    public function run(): int
    {
        $stop = $this->lifeline === null ? [SIGTERM, SIGINT, SIGUSR1, SIGUSR2] : [SIGTERM];
        Process::handle($stop, $this->signalled(...));
        // A client that is gone is an error of the next write, not a signal. Swoole's event workers block it too, which
        // tells them apart from other processes, seen from outside.
        pcntl_sigprocmask(SIG_BLOCK, [SIGPIPE]);
        Process::spend($this->options->startDelay);
        require $this->options->app . '/handler.php';
        while (!$this->stopping || $this->connections !== []) {
            $this->turn();
            $this->sweep();
        }
        Process::spend($this->options->stopDelay);

        return 0;
    }

    private function signalled(int $signal): void
    {
        if ($signal === SIGUSR1 || $signal === SIGUSR2) {
            Process::log('worker', 'WARNING a reload is not possible with a single process');

            return;
        }
        $this->stopping = true;
    }

    /** Waits until something can be done, and does it. */
    private function turn(): void
    {
        [$read, $write] = [[], []];
        if ($this->lifeline !== null) {
            $read['lifeline'] = $this->lifeline;
        }
        if (!$this->stopping && count($this->connections) < self::MOST_CONNECTIONS) {
            $read['listener'] = $this->listener;
        }
        foreach ($this->connections as $id => $connection) {
            if ($connection->wantsToWrite()) {
                $write[$id] = $connection->stream;
            } elseif ($connection->wantsToRead()) {
                $read[$id] = $connection->stream;
            }
        }
        foreach ($this->tasks as $id => [$stream]) {
            $read["task {$id}"] = $stream;
        }
        Process::sleep($read, $write, $this->nextDeadline() - Process::now());
        if (isset($read['lifeline'])) {
            $this->stopping = true;
            $this->lifeline = null;
        }
        if (isset($read['listener'])) {
            $this->accept();
        }
        unset($read['lifeline'], $read['listener']);
        foreach (array_keys($write) as $id) {
            $this->serve($id);
        }
        foreach (array_keys($read) as $id) {
            is_int($id) ? $this->read($id) : $this->readTask((int) substr($id, strlen('task ')));
        }
    }

    private function accept(): void
    {
        // Another worker may have been faster; then this returns false at once.
        $stream = @stream_socket_accept($this->listener, 0.0);
        if ($stream !== false) {
            $this->connections[++$this->lastId] = new Connection($stream);
        }
    }

    private function read(int $id): void
    {
        if ($this->connections[$id]->read()) {
            $this->serve($id);
        } else {
            $this->close($id);
        }
    }

    /** Answers what was read, and writes what the kernel takes: mostly there is no need to wait until it is ready. */
    private function serve(int $id): void
    {
        do {
            $request = $this->connections[$id]->next();
            if ($request !== null) {
                $this->requests++;
                $this->route($id, ...$request);
            }
            if ($this->connections[$id]->wantsToWrite() && !$this->connections[$id]->write()) {
                $this->close($id);

                return;
            }
        } while ($request !== null);
    }

    /** @param array<string, string> $query */
    private function route(int $id, string $path, array $query): void
    {
        match ($path) {
            '/' => $this->answer($id, 200, \hello('worker ' . getmypid()) . "\n"),
            '/version' => $this->answer($id, 200, \version() . "\n"),
            '/pid' => $this->answer($id, 200, getmypid() . "\n"),
            '/health' => $this->answer($id, 200, "ok\n"),
            '/slow' => $this->later[$id] = [
                Process::now() + (int) ($query['ms'] ?? 1000) / 1000,
                \hello('worker ' . getmypid()) . ", slowly\n",
            ],
            '/task' => $this->startTask($id, $query['data'] ?? ''),
            default => $this->answer($id, 404, "not found\n"),
        };
    }

    private function answer(int $id, int $status, string $body): void
    {
        if ($this->options->maxRequest > 0 && $this->requests >= $this->options->maxRequest) {
            $this->stopping = true;
        }
        $this->connections[$id]->answer($status, $body, $this->stopping);
    }

    private function startTask(int $id, string $data): void
    {
        $stream = $this->taskPath === null ? false : @stream_socket_client("unix://{$this->taskPath}", timeout: 1.0);
        if ($stream === false) {
            $this->answer($id, 503, "there is no task worker\n");

            return;
        }
        stream_set_blocking($stream, false);
        fwrite($stream, base64_encode($data) . "\n");
        $this->tasks[$id] = [$stream, ''];
    }

    private function readTask(int $id): void
    {
        [$stream, $said] = $this->tasks[$id];
        $said .= (string) @fread($stream, 65536);
        $this->tasks[$id][1] = $said;
        if (!feof($stream)) {
            return;
        }
        unset($this->tasks[$id]);
        fclose($stream);
        $this->answer($id, $said === '' ? 503 : 200, $said === '' ? "the task worker is gone\n" : $said);
        $this->serve($id);
    }

    /** Does what is due. */
    private function sweep(): void
    {
        $now = Process::now();
        foreach ($this->later as $id => [$due, $body]) {
            if ($due <= $now) {
                unset($this->later[$id]);
                $this->answer($id, 200, $body);
                $this->serve($id);
            }
        }
        foreach ($this->connections as $id => $connection) {
            if ($connection->deadline() <= $now && !$connection->timeOut()) {
                $this->close($id);
            } elseif ($this->stopping && $this->closableAt($connection) <= $now && !$connection->isReadable()) {
                $this->close($id);
            }
        }
    }

    private function nextDeadline(): float
    {
        $next = INF;
        foreach ($this->later as [$due]) {
            $next = min($next, $due);
        }
        foreach ($this->connections as $connection) {
            $next = min($next, $connection->deadline(), $this->stopping ? $this->closableAt($connection) : INF);
        }

        return $next;
    }

    private function closableAt(Connection $connection): float
    {
        return $connection->closableAt(self::GRACE_AFTER_ANSWER, self::GRACE_AFTER_ACCEPT);
    }

    private function close(int $id): void
    {
        fclose($this->connections[$id]->stream);
        unset($this->connections[$id]);
    }
}
