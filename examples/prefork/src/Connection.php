<?php

declare(strict_types=1);

namespace Prefork;

/** One client: what it sent, what it is still to get, and what it waits for. */
final class Connection
{
    /** An idle client is forgotten after so many seconds. */
    private const KEEP_ALIVE = 60.0;

    /** A request must be complete so many seconds after its first byte. */
    private const REQUEST_TIMEOUT = 10.0;

    /** A client that takes nothing for so many seconds is given up. */
    private const WRITE_TIMEOUT = 10.0;

    private const LARGEST_HEAD = 16 * 1024;
    private const LARGEST_BODY = 1024 * 1024;
    private const CHUNK = 64 * 1024;

    private const REASONS = [
        200 => 'OK', 400 => 'Bad Request', 404 => 'Not Found', 405 => 'Method Not Allowed', 408 => 'Request Timeout',
        413 => 'Content Too Large', 431 => 'Request Header Fields Too Large', 501 => 'Not Implemented',
        503 => 'Service Unavailable', 505 => 'HTTP Version Not Supported',
    ];

    private string $in = '';
    private string $out = '';
    private bool $keepAlive = true;
    private bool $withBody = true;
    private int $requests = 0;
    private float $since;

    /** The answer that is being made: a worker on a task, or a text that is due later. */
    private bool $answering = false;

    /** @param resource $stream */
    public function __construct(public readonly mixed $stream)
    {
        stream_set_blocking($stream, false);
        $this->since = Process::now();
    }

    /** Is there room for bytes of the client's? While an answer is made they wait in the kernel. */
    public function wantsToRead(): bool
    {
        return !$this->answering && $this->out === '';
    }

    public function wantsToWrite(): bool
    {
        return $this->out !== '';
    }

    /** @return bool false when the client is gone */
    public function read(): bool
    {
        $bytes = @fread($this->stream, self::CHUNK);
        if ($bytes === false || ($bytes === '' && feof($this->stream))) {
            return false;
        }
        if ($this->in === '') {
            $this->since = Process::now();
        }
        $this->in .= $bytes;

        return true;
    }

    /** @return bool false when the connection is to be closed */
    public function write(): bool
    {
        $written = @fwrite($this->stream, $this->out);
        if ($written === false) {
            return false;
        }
        if ($written > 0) {
            $this->since = Process::now();
            $this->out = substr($this->out, $written);
        }

        return $this->keepAlive || $this->out !== '';
    }

    /**
     * Takes the next complete request from what was read.
     *
     * @return array{string, array<string, string>}|null path and query; null: none, or it was refused
     */
    public function next(): ?array
    {
        if (!$this->wantsToRead()) {
            return null;
        }
        $this->in = ltrim($this->in, "\r\n"); // RFC 9112, 2.2: empty lines before a request are ignored
        $end = strpos($this->in, "\r\n\r\n");
        if (($end === false ? strlen($this->in) : $end) > self::LARGEST_HEAD) {
            return $this->refuse(431);
        }
        if ($end === false) {
            return null;
        }
        $head = substr($this->in, 0, $end + 2);
        if (!preg_match('~^([A-Z]+) (\S+) HTTP/(\d)\.(\d)\r\n~', $head, $line)) {
            return $this->refuse(400);
        }
        if ($line[3] !== '1') {
            return $this->refuse(505);
        }
        if (preg_match('~^Transfer-Encoding:~mi', $head)) {
            return $this->refuse(501);
        }
        $length = preg_match('~^Content-Length: *(\d+) *\r$~mi', $head, $match) ? (int) $match[1] : 0;
        if ($length > self::LARGEST_BODY) {
            return $this->refuse(413);
        }
        if (strlen($this->in) < $end + 4 + $length) {
            return null;
        }
        $this->in = substr($this->in, $end + 4 + $length);
        $wish = preg_match('~^Connection: *(.*)\r$~mi', $head, $match) ? strtolower($match[1]) : '';
        $this->keepAlive = $line[4] === '0' ? str_contains($wish, 'keep-alive') : !str_contains($wish, 'close');
        $this->withBody = $line[1] !== 'HEAD';
        $this->requests++;
        if (!in_array($line[1], ['GET', 'HEAD'], true)) {
            $this->answer(405, "use GET\n", false);

            return null;
        }
        $this->answering = true;
        parse_str((string) parse_url($line[2], PHP_URL_QUERY), $query);

        return [(string) parse_url($line[2], PHP_URL_PATH), array_filter($query, is_string(...))];
    }

    public function answer(int $status, string $body, bool $last): void
    {
        $this->answering = false;
        $this->keepAlive = $this->keepAlive && !$last;
        $this->since = Process::now();
        $this->out .= sprintf("HTTP/1.1 %d %s\r\n", $status, self::REASONS[$status])
            . 'Date: ' . gmdate('D, d M Y H:i:s') . " GMT\r\n"
            . "Content-Type: text/plain; charset=utf-8\r\n"
            . 'Content-Length: ' . strlen($body) . "\r\n"
            . ($status === 405 ? "Allow: GET, HEAD\r\n" : '')
            . 'Connection: ' . ($this->keepAlive ? 'keep-alive' : 'close') . "\r\n\r\n"
            . ($this->withBody ? $body : '');
    }

    /** When this connection must be looked at again if nothing happens, on the clock of Process::now(). */
    public function deadline(): float
    {
        return match (true) {
            $this->answering => INF,
            $this->out !== '' => $this->since + self::WRITE_TIMEOUT,
            $this->in !== '' => $this->since + self::REQUEST_TIMEOUT,
            default => $this->since + self::KEEP_ALIVE,
        };
    }

    /** @return bool false when the connection is to be closed */
    public function timeOut(): bool
    {
        if ($this->in !== '' && $this->out === '') {
            $this->refuse(408);

            return true;
        }

        return false;
    }

    /**
     * How long a worker that stops waits for this client's next request, on the clock of Process::now(). Whoever had
     * an answer just now may have sent the next request already, and closing would lose it; a new client even more so.
     */
    public function closableAt(float $afterAnswer, float $afterAccept): float
    {
        if ($this->answering || $this->in !== '' || $this->out !== '') {
            return INF;
        }

        return $this->since + ($this->requests > 0 ? $afterAnswer : $afterAccept);
    }

    /** Did something arrive that was not read yet? */
    public function isReadable(): bool
    {
        $read = [$this->stream];
        $write = [];
        Process::sleep($read, $write, 0.0);

        return $read !== [];
    }

    private function refuse(int $status): null
    {
        $this->in = '';
        $this->answer($status, self::REASONS[$status] . "\n", true);

        return null;
    }
}
