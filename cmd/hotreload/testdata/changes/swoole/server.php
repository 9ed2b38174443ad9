<?php

// PORT, MODE (process, base), WORKERS, TASKS, USER PROCESSES

use Swoole\Http\Request;
use Swoole\Http\Response;
use Swoole\Http\Server;

const ENTRY = 'entry v1';

is_file(__DIR__ . '/vendor/autoload.php') ? require __DIR__ . '/vendor/autoload.php' : require __DIR__ . '/app/helpers.php';
spl_autoload_register(static function (string $class): void {
    $file = __DIR__ . '/app/' . strtr(substr($class, strlen('App\\')), '\\', '/') . '.php';
    str_starts_with($class, 'App\\') && is_file($file) && require $file;
});
require __DIR__ . '/bootstrap.php';
$config = require __DIR__ . '/config.php';
$env = parse_ini_file(__DIR__ . '/.env');

[, $port, $mode, $workers, $tasks, $users] = $argv;
$server = new Server('127.0.0.1', (int) $port, $mode === 'base' ? SWOOLE_BASE : SWOOLE_PROCESS);
$server->set(['worker_num' => (int) $workers, 'task_worker_num' => (int) $tasks, 'pid_file' => __DIR__ . '/runtime/server.pid']);

$said = new Swoole\Table(1);
$said->column('text', Swoole\Table::TYPE_STRING, 64);
$said->create();
if ($users > 0) {
    $server->addProcess(new Swoole\Process(static function () use ($said): void {
        $said->set('', ['text' => require __DIR__ . '/app/process.php']);
        while (true) {
            sleep(60);
        }
    }));
}
if ($tasks > 0) {
    $server->on('task', static fn (Server $server, int $id, int $worker, mixed $data) => [getmypid(), (require __DIR__ . '/app/task.php')()]);
}
$server->on('workerStart', static function (Server $server) use (&$handler): void {
    // In PROCESS mode the master writes its pid file after it has forked, and a quick worker would be first.
    while (! is_file($server->setting['pid_file'])) {
        usleep(1000);
    }
    $handler = require __DIR__ . '/app/handler.php';
});
$server->on('request', static function (Request $request, Response $response) use ($server, $config, $env, $said, &$handler): void {
    $response->header('X-Worker', (string) getmypid());
    switch ($path = $request->server['request_uri']) {
        case '/task':
            $server->task('', -1, static function (Server $server, int $id, array $result) use ($response): void {
                $response->header('X-Worker', (string) $result[0]);
                $response->header('X-Role', 'task-worker');
                $response->end($result[1]);
            });
            break;
        case '/process':
            while (! $said->exists('')) {
                Swoole\Coroutine::sleep(.001);
            }
            $response->end($said->get('', 'text'));
            break;
        case '/master':
            $response->end(implode(', ', [ENTRY, BOOTSTRAP, $config['text'], $env['TEXT'], helper(), function_exists('more') ? more() : 'no more']));
            break;
        default:
            $response->end($handler($path));
    }
});
$server->start();
