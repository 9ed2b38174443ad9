<?php

/** Is loaded by each worker when it starts; the classes when they are first used. */
return static fn (string $path): string => match ($path) {
    '/handler' => 'handler v1',
    '/class' => App\Plain::text(),
    '/trait' => App\Talker::talk(),
    '/parent' => App\Talker::text(),
    '/classes' => implode(', ', array_map(
        static fn (string $class) => $class::text(),
        array_values(array_filter(['App\Doomed', 'App\Fresh', 'App\Deep\Down'], 'class_exists')),
    )),
    '/view' => (static function (): string {
        ob_start();
        include __DIR__ . '/view.phtml';
        return ob_get_clean();
    })(),
    default => $path,
};
