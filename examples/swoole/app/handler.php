<?php

// Change a text, save, and ask the server again: every worker answers with the new code.

declare(strict_types=1);

function version(): string
{
    return 'v1';
}

function hello(string $who): string
{
    return 'hello ' . version() . " from {$who}";
}

function task(string $data, string $who): string
{
    return 'did ' . version() . " \"{$data}\" in {$who}";
}
