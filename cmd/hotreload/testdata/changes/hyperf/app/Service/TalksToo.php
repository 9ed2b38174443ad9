<?php

namespace App\Service;

use Hyperf\Di\Annotation\Inject;

trait TalksToo
{
    #[Inject]
    protected Greeter $greeter;

    public function talk(): string
    {
        return $this->greeter->greet('inject trait v1');
    }
}
