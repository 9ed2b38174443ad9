<?php

namespace App\Aspect;

use App\Service\OtherWoven;
use App\Service\Woven;
use Hyperf\Di\Annotation\Aspect;
use Hyperf\Di\Aop\AbstractAspect;
use Hyperf\Di\Aop\ProceedingJoinPoint;

#[Aspect]
class LoudAspect extends AbstractAspect
{
    public array $classes = [
        Woven::class . '::text',
    ];

    public function process(ProceedingJoinPoint $point)
    {
        return 'aspect v1 of ' . $point->process();
    }
}
