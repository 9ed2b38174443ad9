<?php

// A master without a server: for each line on standard input it forks a worker, which includes the file named on the
// command line and prints what it returns. A second file, if there is one, is included by the master before.

declare(strict_types=1);

[, $file] = $argv;
if (isset($argv[2])) {
    require $argv[2];
}
echo "ready\n";
while (fgets(STDIN) !== false) {
    $pid = pcntl_fork();
    if ($pid === 0) {
        echo (require $file) . "\n";
        exit(0);
    }
    pcntl_waitpid($pid, $status);
}
