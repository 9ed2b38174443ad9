<?php

// What hotreload asks php-fpm about its OPcache; with HOTRELOAD_ACTION=reset it empties it, too, unless PHP is thread safe.
// It is written for old PHP, too, and prints one JSON object between two marks: other code may print before and after it (auto_prepend_file).

$messages = [];
set_error_handler(function ($level, $text) use (&$messages) {
    $messages[] = $text;
    return true;
});
$ini = [];
foreach ([
    'opcache.enable', 'opcache.validate_timestamps', 'opcache.revalidate_freq', 'opcache.file_cache', 'opcache.file_cache_only',
    'opcache.restrict_api', 'opcache.preload', 'opcache.force_restart_timeout', 'opcache.memory_consumption',
    'opcache.max_accelerated_files', 'opcache.jit', 'open_basedir',
] as $name) {
    $value = ini_get($name);
    if ($value !== false) {
        $ini[$name] = (string) $value;
    }
}
$forbidden = [];
foreach (['opcache_get_status', 'opcache_reset'] as $name) {
    if (!function_exists($name)) {
        $forbidden[] = $name;
    }
}
$parent = 0;
if (function_exists('posix_getppid')) {
    $parent = posix_getppid();
} elseif (preg_match('/\) \S (\d+) /', (string) file_get_contents('/proc/self/stat'), $match)) {
    $parent = (int) $match[1];
}
$messages = []; // nobody needs to know that /proc is out of reach
$status = function_exists('opcache_get_status') ? opcache_get_status(false) : false;
$reset = null;
if (getenv('HOTRELOAD_ACTION') === 'reset' && !PHP_ZTS && function_exists('opcache_reset')) {
    $reset = opcache_reset();
}
echo "\x02", json_encode([
    'php' => PHP_VERSION,
    'thread_safe' => (bool) PHP_ZTS,
    'host' => (string) gethostname(),
    'parent' => $parent,
    'loaded' => extension_loaded('Zend OPcache'),
    'forbidden' => $forbidden,
    'ini' => (object) $ini,
    'status' => $status === false ? null : $status,
    'reset' => $reset,
    'messages' => $messages,
], JSON_PARTIAL_OUTPUT_ON_ERROR), "\x03";
restore_error_handler();
