<?php

// Collects the annotations of a Hyperf application and makes its proxies, as its own start does (Hyperf\Di\Annotation\Scanner), but
// touches what is live only when everything succeeded. The question comes as JSON on standard input, see scanQuestion in
// hyperf_scan.go; the answer, see scanAnswer there, stands between the bytes 2 and 3 on standard output.

use Hyperf\Di\Annotation\AnnotationReader;
use Hyperf\Di\Annotation\AspectCollector;
use Hyperf\Di\Annotation\ScanConfig;
use Hyperf\Di\Annotation\Scanner;
use Hyperf\Di\Aop\Ast;
use Hyperf\Di\ReflectionManager;
use Hyperf\Di\ScanHandler\Scanned;
use Hyperf\Di\ScanHandler\ScanHandlerInterface;
use Hyperf\Support\Composer;
use Hyperf\Support\DotenvManager;

$ask = json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);

final class HotreloadScan
{
    public array $answer = ['result' => 'failed', 'message' => '', 'file' => '', 'line' => 0, 'changed' => [], 'mode' => ''];

    /** Files that the scanner wants to write, by path. */
    public array $writes = [];

    /** What remains to be done behind the scanner, which ends the process. */
    public ?Closure $rest = null;

    private string $container;

    private string $shadow;

    public function __construct(private array $ask)
    {
        $this->container = $ask['base'] . '/runtime/container';
        $this->shadow = $this->container . '/hotreload-' . getmypid();
    }

    public function run(): void
    {
        define('BASE_PATH', $this->ask['base']);
        require BASE_PATH . '/vendor/autoload.php';
        if ($this->ask['do'] === 'baseline') {
            $this->keepBaseline($this->digests(...$this->live()));
            $this->answer['result'] = 'done';
            return;
        }
        foreach (glob($this->container . '/hotreload-*') as $left) {
            $this->remove($left); // by one that was killed
        }
        $config = $this->configure();
        if ($this->ask['do'] === 'reload' && $this->part($config)) {
            return;
        }
        $this->whole($config);
    }

    /** Called when the process ends, in whatever way. */
    public function end(): void
    {
        $said = '';
        while (ob_get_level() > 0) {
            $said = ob_get_clean() . $said;
        }
        $error = error_get_last();
        if ($error !== null && ($error['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR))) {
            $this->fail($error['message'], $error['file'], $error['line']);
        } elseif ($this->rest !== null) {
            try {
                ($this->rest)($said);
            } catch (Throwable $e) {
                $this->fail($e->getMessage(), $e->getFile(), $e->getLine());
            }
        }
        $this->remove($this->shadow);
        fwrite(STDOUT, "\x02" . json_encode($this->answer, JSON_INVALID_UTF8_SUBSTITUTE) . "\x03");
    }

    public function fail(string $message, string $file, int $line): void
    {
        [$message] = explode("\nStack trace:", $message);
        $this->rest = null; // there is no scan to be concluded
        $this->answer = ['result' => 'failed', 'message' => $message, 'file' => $file, 'line' => $line] + $this->answer;
    }

    private function configure(): ScanConfig
    {
        defined('SWOOLE_HOOK_FLAGS') || define('SWOOLE_HOOK_FLAGS', 0);
        foreach ([Scanner::class, ScanConfig::class, Ast::class, Composer::class, DotenvManager::class] as $class) {
            if (! class_exists($class)) {
                $this->answer = ['result' => 'unsupported', 'message' => "this Hyperf has no {$class}"] + $this->answer;
                exit;
            }
        }
        if (file_exists(BASE_PATH . '/.env')) {
            DotenvManager::load([BASE_PATH]);
        }
        $config = ScanConfig::instance(BASE_PATH . '/config/');
        Composer::getLoader()->addClassMap($config->getClassMap());
        return $config;
    }

    /**
     * Collects only what the changed files, and the classes built on theirs, declare. It returns false, having changed nothing,
     * where a scan of everything must decide: classes that came or went, aspects, or no record of an earlier scan.
     */
    private function part(ScanConfig $config): bool
    {
        $graph = $this->read($this->ask['graph']);
        $baseline = $this->read($this->ask['baseline']);
        if ($graph === null || $baseline === null || $this->ask['files'] === null || ! file_exists($this->container . '/scan.cache')) {
            return false;
        }
        $ast = new Ast();
        $byFile = array_flip(array_map(static fn ($class) => $class['file'], $graph));
        $changed = [];
        foreach ($this->ask['files'] as $file) {
            $known = $byFile[$file] ?? null;
            $found = is_file($file) ? $ast->parseClassByStmts($ast->parse(file_get_contents($file)) ?? []) : '';
            if ($found !== ($known ?? '') && ($known !== null || $this->isScanned($config, $file))) {
                return false;
            }
            if ($found !== '') {
                $changed[$found] = true;
            }
        }
        [$data, $proxies] = $this->live();
        $affected = $changed;
        do {
            $before = count($affected);
            foreach ($graph as $class => $node) {
                if (! isset($affected[$class]) && array_intersect_key(array_flip($node['above']), $affected)) {
                    $affected[$class] = true;
                }
            }
        } while (count($affected) > $before);
        [$rules] = unserialize($data[AspectCollector::class] ?? serialize([[]]));
        if (array_intersect_key($rules, $affected)) {
            return false;
        }
        $again = array_map(ReflectionManager::reflectClass(...), array_keys(array_intersect_key($affected, $graph)));
        foreach ($again as $reflection) {
            if ($this->above($reflection) != $graph[$reflection->getName()]['above']) {
                return false;
            }
        }
        // Nothing may be collected before this: whole() begins with nothing, or what aspects say would be there twice.
        $this->answer['mode'] = 'part';
        foreach ($data as $collector => $serialized) {
            if (in_array($collector, $config->getCollectors(), true)) {
                $collector::deserialize($serialized);
            }
        }
        $reader = new AnnotationReader($config->getIgnoreAnnotations());
        $scanner = $this->scanner($config);
        foreach ($again as $reflection) {
            foreach ($config->getCollectors() as $collector) {
                $collector::clear($reflection->getName());
            }
            $scanner->collect($reader, $reflection);
        }
        $now = [];
        foreach ($config->getCollectors() as $collector) {
            $now[$collector] = $collector::serialize();
        }
        if ($this->differs($baseline, $this->digests($now, $proxies))) {
            return true;
        }
        $made = [];
        foreach (array_keys(array_intersect_key($proxies, $affected)) as $class) {
            $made[$proxies[$class]] = $ast->proxy($class);
        }
        array_walk($made, fn ($code, $path) => $this->put($path, $code));
        $this->answer['result'] = 'done';
        return true;
    }

    /** Collects everything from nothing, and makes all proxies. */
    private function whole(ScanConfig $config): void
    {
        $this->answer['mode'] = 'whole';
        if (! is_dir($this->shadow . '/proxy') && ! mkdir($this->shadow . '/proxy', 0755, true)) {
            throw new RuntimeException("{$this->shadow} cannot be made: is runtime/container writable?");
        }
        $this->rest = fn (string $said) => $this->conclude($config, $said);
        $this->scanner($config)->scan(Composer::getLoader()->getClassMap(), $this->shadow . '/proxy/');
    }

    /** Decides about a scan that came to its end, and makes it live. */
    private function conclude(ScanConfig $config, string $said): void
    {
        $cache = $this->writes[$this->shadow . '/scan.cache'] ?? null;
        if ($cache === null) {
            $this->fail('the scan ended without a result: ' . trim($said), '', 0);
            return;
        }
        if ($this->lost($said)) {
            return;
        }
        [$data, $proxies, $aspects] = unserialize($cache) + [[], [], []];
        $live = fn (string $path) => str_replace($this->shadow . '/proxy/', $this->container . '/proxy/', $path);
        $proxies = array_map($live, $proxies);
        $digests = $this->digests($data, $proxies);
        if ($this->ask['do'] === 'reload') {
            $baseline = $this->read($this->ask['baseline']);
            if ($baseline === null) {
                $this->answer['result'] = 'restart';
                $this->answer['message'] = 'what annotations the master has collected is not known';
                return;
            }
            if ($this->differs($baseline, $digests)) {
                return;
            }
        }
        is_dir($this->container . '/proxy') || mkdir($this->container . '/proxy', 0755, true);
        foreach ($proxies as $class => $path) {
            $this->put($path, file_get_contents($this->shadow . '/proxy/' . basename($path)));
        }
        foreach ($this->writes as $path => $content) {
            if ($path !== $this->shadow . '/scan.cache') {
                $this->put($path, $content);
            }
        }
        $aspects = array_map(static fn ($classes) => array_map($live, $classes), $aspects);
        $this->put($this->container . '/scan.cache', serialize([$data, $proxies, $aspects]));
        $this->keepGraph($config);
        $this->answer['result'] = 'done';
    }

    /**
     * Hyperf goes on without the classes that it cannot load, as if they were not there. Those that were there before must not
     * get lost that way.
     */
    private function lost(string $said): bool
    {
        preg_match_all('/collecting class reflections failed\. \R?File: (.*)\.\R(?:Exception: )(.*)/', $said, $found, PREG_SET_ORDER);
        $graph = $this->read($this->ask['graph']) ?? [];
        $known = array_flip(array_map(static fn ($class) => $class['file'], $graph));
        foreach ($found as [, $file, $message]) {
            if (isset($known[$file])) {
                $this->fail(str_replace("\033[0m", '', $message), $file, 0);
                return true;
            }
        }
        return false;
    }

    private function scanner(ScanConfig $config): Scanner
    {
        $here = new class implements ScanHandlerInterface {
            public function scan(): Scanned
            {
                return new Scanned(false); // this process is the one that scans
            }
        };
        $scanner = new class($config, $here) extends Scanner {
            public HotreloadScan $owner;

            public function hold(HotreloadScan $owner, string $path): static
            {
                [$this->owner, $this->path] = [$owner, $path];
                return $this;
            }

            protected function putCache(string $path, $data)
            {
                $this->owner->writes[$path] = $data;
            }
        };
        return $scanner->hold($this, $this->shadow . '/scan.cache');
    }

    /** What the last scan has left: the collected data and the proxies. */
    private function live(): array
    {
        $file = $this->container . '/scan.cache';
        return (file_exists($file) ? unserialize(file_get_contents($file)) : []) + [[], []];
    }

    /** One hash for each class and collector. The order of keys, which differs between two scans of the same code, does not count. */
    private function digests(array $data, array $proxies): array
    {
        $digests = [];
        foreach ($data as $collector => $serialized) {
            $collected = unserialize($serialized);
            $short = substr(strrchr('\\' . $collector, '\\'), 1);
            foreach (is_array($collected) ? $collected : [$collected] as $key => $value) {
                $name = is_int($key) ? "{$short} {$key}" : "{$key} ({$short})";
                $digests[$name] = md5(serialize($this->sorted($value)));
            }
        }
        foreach (array_keys($proxies) as $class) {
            $digests["{$class} (proxy)"] = '';
        }
        ksort($digests);
        return $digests;
    }

    private function sorted(mixed $value, array $within = []): mixed
    {
        if (is_object($value)) {
            if (isset($within[spl_object_id($value)])) {
                return 'a cycle';
            }
            $within[spl_object_id($value)] = true;
            $value = [$value::class => (array) $value];
        }
        if (! is_array($value)) {
            return $value;
        }
        array_is_list($value) || ksort($value);
        return array_map(fn ($element) => $this->sorted($element, $within), $value);
    }

    private function differs(array $baseline, array $digests): bool
    {
        $names = array_keys(array_diff_assoc($digests, $baseline) + array_diff_assoc($baseline, $digests));
        if ($names === []) {
            return false;
        }
        sort($names);
        $this->answer['result'] = 'restart';
        $this->answer['changed'] = array_slice($names, 0, 20);
        return true;
    }

    private function keepBaseline(array $digests): void
    {
        $this->put($this->ask['baseline'], json_encode($digests, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE));
    }

    /** Notes which classes of the application there are, and what each is built on. */
    private function keepGraph(ScanConfig $config): void
    {
        $graph = [];
        foreach (ReflectionManager::getContainer()['class'] ?? [] as $name => $class) {
            $file = $class->getFileName();
            if ($file !== false && ! str_contains($file, '/vendor/') && $this->isScanned($config, $file)) {
                $graph[$name] = ['file' => $file, 'above' => $this->above($class)];
            }
        }
        $this->put($this->ask['graph'], json_encode($graph, JSON_THROW_ON_ERROR));
    }

    /** The classes and traits that a class gets members from, directly. */
    private function above(ReflectionClass $class): array
    {
        $above = $class->getTraitNames();
        if ($parent = $class->getParentClass()) {
            $above[] = $parent->getName();
        }
        return array_values(array_merge($above, $class->getInterfaceNames()));
    }

    private function isScanned(ScanConfig $config, string $file): bool
    {
        foreach ($config->getPaths() as $path) {
            $path = realpath($path) ?: $path;
            if (str_starts_with($file, rtrim($path, '/') . '/') || str_starts_with(realpath($file) ?: $file, rtrim($path, '/') . '/')) {
                return true;
            }
        }
        return false;
    }

    private function read(string $file): ?array
    {
        return is_file($file) ? json_decode(file_get_contents($file), true) : null;
    }

    /** Replaces a file at one stroke. One that has this content already is only made as new as it now is. */
    private function put(string $path, string $content): void
    {
        if (is_file($path) && file_get_contents($path) === $content) {
            @touch($path); // it may be somebody else's
            return;
        }
        $new = $path . '.' . getmypid();
        if (@file_put_contents($new, $content) !== strlen($content) || ! @rename($new, $path)) {
            $why = error_get_last()['message'] ?? '';
            @unlink($new);
            throw new RuntimeException("{$path} cannot be written: {$why}");
        }
    }

    private function remove(string $path): void
    {
        if (is_dir($path) && ! is_link($path)) {
            array_map($this->remove(...), array_diff(glob($path . '/{,.}*', GLOB_BRACE), ["{$path}/.", "{$path}/.."]));
            @rmdir($path);
        } elseif (file_exists($path)) {
            @unlink($path);
        }
    }
}

ini_set('display_errors', '0');
ini_set('log_errors', '0');
ob_start();
$scan = new HotreloadScan($ask);
register_shutdown_function($scan->end(...));
try {
    $scan->run();
} catch (Throwable $e) {
    $scan->fail($e->getMessage(), $e->getFile(), $e->getLine());
}
