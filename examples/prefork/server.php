<?php

/**
 * A small HTTP server in plain PHP with the process model of Swoole's SWOOLE_PROCESS mode:
 *
 *     master ── manager ─┬─ workers        answer HTTP; load app/ after the fork
 *                        ├─ task workers   answer the workers; load app/ after the fork
 *                        └─ user processes never reloaded
 *
 * Everything in this file and in src/ is loaded by the master before it forks: to change it takes a restart.
 * Everything in app/ is loaded by each worker: SIGUSR1 to the master is enough.
 */

declare(strict_types=1);

namespace Prefork;

error_reporting(E_ALL);

foreach (['pcntl', 'posix'] as $extension) {
    if (!extension_loaded($extension)) {
        fwrite(STDERR, "prefork: the PHP extension {$extension} is missing\n");
        exit(1);
    }
}

require __DIR__ . '/src/Options.php';
require __DIR__ . '/src/Process.php';
require __DIR__ . '/src/Master.php';
require __DIR__ . '/src/Manager.php';
require __DIR__ . '/src/Connection.php';
require __DIR__ . '/src/Worker.php';
require __DIR__ . '/src/TaskWorker.php';
require __DIR__ . '/src/UserProcess.php';

try {
    $options = Options::parse(array_slice($argv, 1), getenv(), __DIR__);
} catch (\InvalidArgumentException $e) {
    fwrite(STDERR, "prefork: {$e->getMessage()}\n\n" . Options::usage());
    exit(2);
}
if ($options === null) {
    echo Options::usage();
    exit(0);
}

exit((new Master($options))->run());
