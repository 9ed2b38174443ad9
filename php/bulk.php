<?php

// Compiles the files whose names come on standard input, NUL after each, and runs none. For each it writes a line:
// its number before, and "bad" after it when it does not compile. If a file ends this process, its number is the last line.

if (!function_exists('opcache_compile_file') || !(opcache_get_status(false)['opcache_enabled'] ?? false)) {
    exit(3);
}
// Kept until the output is read: a fatal error must not be able to print anything else.
$files = explode("\0", stream_get_contents(STDIN));
array_pop($files);
fwrite(STDOUT, "ready\n");
foreach ($files as $number => $file) {
    fwrite(STDOUT, "{$number}\n");
    try {
        if (!@opcache_compile_file($file)) {
            exit(4);
        }
    } catch (Throwable $e) {
        fwrite(STDOUT, "bad\n");
    }
}
fwrite(STDOUT, "done\n");
