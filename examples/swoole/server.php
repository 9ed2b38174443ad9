<?php

/**
 * The server of examples/prefork, on Swoole: the same options, the same answers.
 *
 * This file is loaded by the master before it forks: to change it takes a restart. Everything in app/ is loaded by each
 * worker: SIGUSR1 to the master is enough.
 */

declare(strict_types=1);

use Swoole\Http\Request;
use Swoole\Http\Response;
use Swoole\Http\Server;
use Swoole\Process;
use Swoole\Timer;

if (!extension_loaded('swoole')) {
    fwrite(STDERR, "the PHP extension swoole is missing: pecl install swoole\n");
    exit(1);
}

// --max-request=10 and SWOOLE_MAX_REQUEST=10 are the same; the command line wins.
$defaults = [
    'host' => '127.0.0.1', 'port' => '9501', 'workers' => '4', 'tasks' => '2', 'user-processes' => '0',
    'mode' => 'process', 'pid-file' => 'runtime/server.pid', 'app' => 'app', 'max-request' => '0',
    'max-wait-time' => '3', 'start-delay' => '0', 'stop-delay' => '0',
];
$given = getopt('', array_map(static fn (string $name): string => "{$name}:", array_keys($defaults)));
$options = [];
foreach ($defaults as $name => $default) {
    $values = (array) ($given[$name] ?? (getenv('SWOOLE_' . strtoupper(strtr($name, '-', '_'))) ?: $default));
    $options[$name] = end($values);
}
$path = static fn (string $path): string => str_starts_with($path, '/') ? $path : __DIR__ . "/{$path}";
if (!is_dir(dirname($path($options['pid-file'])))) {
    mkdir(dirname($path($options['pid-file'])), 0777, true);
}

$mode = $options['mode'] === 'base' ? SWOOLE_BASE : SWOOLE_PROCESS;
try {
    $server = new Server($options['host'], (int) $options['port'], $mode);
} catch (Swoole\Exception $e) {
    fwrite(STDERR, "{$e->getMessage()}\n");
    exit($e->getCode() ?: 1);
}
$server->set([
    'worker_num' => (int) $options['workers'],
    'task_worker_num' => (int) $options['tasks'],
    'pid_file' => $path($options['pid-file']),
    'max_request' => (int) $options['max-request'],
    'max_wait_time' => (int) $options['max-wait-time'],
    'log_level' => SWOOLE_LOG_INFO,
]);

for ($i = 0; $i < (int) $options['user-processes']; $i++) {
    $server->addProcess(new Process(static function (): void {
        pcntl_async_signals(true);
        pcntl_signal(SIGTERM, static fn () => exit(0));
        while (true) {
            sleep(3600);
        }
    }));
}

$server->on('workerStart', static function () use ($options, $path): void {
    usleep((int) $options['start-delay'] * 1000);
    require $path($options['app']) . '/handler.php';
});
$server->on('workerStop', static function () use ($options): void {
    usleep((int) $options['stop-delay'] * 1000);
});
$server->on('request', static function (Request $request, Response $response) use ($server, $options): void {
    $who = 'worker ' . getmypid();
    $response->header('Content-Type', 'text/plain; charset=utf-8');
    switch ($request->server['request_uri']) {
        case '/':
            $response->end(hello($who) . "\n");
            break;
        case '/version':
            $response->end(version() . "\n");
            break;
        case '/pid':
            $response->end(getmypid() . "\n");
            break;
        case '/health':
            $response->end("ok\n");
            break;
        case '/slow':
            $text = hello($who) . ", slowly\n";
            Timer::after(max(1, (int) ($request->get['ms'] ?? 1000)), static fn () => $response->end($text));
            break;
        case '/task':
            if ((int) $options['tasks'] === 0) {
                $response->status(503);
                $response->end("there is no task worker\n");
                break;
            }
            $answer = static fn (Server $server, int $id, string $result) => $response->end($result . "\n");
            $server->task($request->get['data'] ?? '', -1, $answer);
            break;
        default:
            $response->status(404);
            $response->end("not found\n");
    }
});
if ((int) $options['tasks'] > 0) {
    $server->on('task', static function (Server $server, int $id, int $worker, string $data): string {
        return task($data, 'task worker ' . getmypid());
    });
}
$server->start();
