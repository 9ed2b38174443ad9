<?php

namespace app\process;

/** A process of its own, which says in a file what it is. */
class Clock
{
    public function onWorkerStart(): void
    {
        file_put_contents(runtime_path('clock'), 'clock v1');
    }
}
