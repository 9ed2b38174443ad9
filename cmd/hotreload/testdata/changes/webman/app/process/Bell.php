<?php

namespace app\process;

/** A process of a plugin, which says in a file what it is. */
class Bell
{
    public function onWorkerStart(): void
    {
        file_put_contents(runtime_path('bell'), 'bell v1');
    }
}
