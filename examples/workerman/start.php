<?php

/**
 * The server of examples/prefork, on Workerman: php start.php start
 *
 * This file is loaded by the master before it forks: to change it takes a restart. Everything in app/ is loaded by each
 * worker: SIGUSR2 to the master (graceful) or SIGUSR1 is enough.
 */

declare(strict_types=1);

use Workerman\Connection\TcpConnection;
use Workerman\Protocols\Http\Request;
use Workerman\Protocols\Http\Response;
use Workerman\Timer;
use Workerman\Worker;

require getenv('WORKERMAN_AUTOLOAD') ?: __DIR__ . '/vendor/autoload.php';

// The command line is Workerman's own (start, stop, ...), so options come from the environment.
$option = static fn (string $name, string $default): string => getenv("WORKERMAN_{$name}") ?: $default;
$path = static fn (string $path): string => str_starts_with($path, '/') ? $path : __DIR__ . "/{$path}";

$pidFile = $path($option('PID_FILE', 'runtime/server.pid'));
if (!is_dir(dirname($pidFile))) {
    mkdir(dirname($pidFile), 0777, true);
}
Worker::$pidFile = $pidFile;
Worker::$logFile = dirname($pidFile) . '/workerman.log';
Worker::$statusFile = dirname($pidFile) . '/workerman.status';
Worker::$stopTimeout = (int) $option('STOP_TIMEOUT', '2');

$worker = new Worker('http://' . $option('HOST', '127.0.0.1') . ':' . $option('PORT', '9501'));
$worker->name = 'example';
$worker->count = (int) $option('WORKERS', '4');
$worker->onWorkerStart = static function () use ($option, $path): void {
    usleep((int) $option('START_DELAY', '0') * 1000);
    require $path($option('APP', 'app')) . '/handler.php';
};
$worker->onMessage = static function (TcpConnection $connection, Request $request): void {
    $who = 'worker ' . getmypid();
    $answer = static fn (string $body, int $status = 200) => $connection->send(
        new Response($status, ['Content-Type' => 'text/plain; charset=utf-8'], "{$body}\n"),
    );
    match ($request->path()) {
        '/' => $answer(hello($who)),
        '/version' => $answer(version()),
        '/pid' => $answer((string) getmypid()),
        '/health' => $answer('ok'),
        '/slow' => Timer::delay(
            max(1, (int) $request->get('ms', '1000')) / 1000,
            $answer,
            [hello($who) . ', slowly'],
        ),
        default => $answer('not found', 404),
    };
};

Worker::runAll();
