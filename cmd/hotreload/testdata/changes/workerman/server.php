<?php

use Workerman\Connection\TcpConnection;
use Workerman\Protocols\Http\Request;
use Workerman\Protocols\Http\Response;
use Workerman\Worker;

const ENTRY = 'entry v1';

require __DIR__ . '/vendor/autoload.php';
function_exists('helper') || require __DIR__ . '/app/helpers.php';
spl_autoload_register(static function (string $class): void {
    $file = __DIR__ . '/app/' . strtr(substr($class, strlen('App\\')), '\\', '/') . '.php';
    str_starts_with($class, 'App\\') && is_file($file) && require $file;
});
require __DIR__ . '/bootstrap.php';
$config = require __DIR__ . '/config.php';
$env = parse_ini_file(__DIR__ . '/.env');

Worker::$pidFile = __DIR__ . '/runtime/workerman.pid';
Worker::$logFile = __DIR__ . '/runtime/workerman.log';
Worker::$statusFile = __DIR__ . '/runtime/workerman.status';

$worker = new Worker('http://127.0.0.1:9501');
$worker->count = 4;
$worker->onWorkerStart = static function () use (&$handler): void {
    $handler = require __DIR__ . '/app/handler.php';
};
$worker->onMessage = static function (TcpConnection $connection, Request $request) use ($config, $env, &$handler): void {
    $text = match ($request->path()) {
        '/master' => implode(', ', [ENTRY, BOOTSTRAP, $config['text'], $env['TEXT'], helper(), function_exists('more') ? more() : 'no more']),
        default => $handler($request->path()),
    };
    $connection->send(new Response(200, ['X-Worker' => getmypid()], $text));
};

Worker::runAll();
