<?php

$names = [
    'opcache.enable', 'opcache.enable_cli', 'opcache.validate_timestamps', 'opcache.revalidate_freq',
    'opcache.revalidate_path', 'opcache.file_update_protection', 'opcache.file_cache', 'opcache.file_cache_only',
    'opcache.jit', 'realpath_cache_ttl', 'realpath_cache_size', 'auto_prepend_file', 'swoole.use_shortname',
];
$ini = [];
foreach ($names as $name) {
    $value = ini_get($name);
    if ($value !== false) {
        $ini[$name] = $value;
    }
}
$extensions = [];
foreach (array_merge(get_loaded_extensions(), get_loaded_extensions(true)) as $name) {
    $extensions[$name] = (string) phpversion($name);
}
$on = static fn (string $name): bool => in_array(strtolower((string) ini_get($name)), ['1', 'on', 'yes', 'true'], true);
$files = array_merge(
    array_filter([php_ini_loaded_file()]),
    array_filter(array_map('trim', explode(',', (string) php_ini_scanned_files()))),
);
echo "\x02", json_encode([
    'version' => PHP_VERSION,
    'version_id' => PHP_VERSION_ID,
    'thread_safe' => (bool) PHP_ZTS,
    'short_open_tag' => $on('short_open_tag'),
    'opcache' => extension_loaded('Zend OPcache') && $on('opcache.enable') && $on('opcache.enable_cli'),
    'ini' => (object) $ini,
    'preload' => (string) ini_get('opcache.preload'),
    'extensions' => (object) $extensions,
    'files' => array_values($files),
], JSON_INVALID_UTF8_SUBSTITUTE | JSON_THROW_ON_ERROR), "\x03";
