<?php

namespace App\Controller;

/** Says which of the classes that come and go are there. */
class ClassesController
{
    public function index(): string
    {
        $said = [];
        foreach (['Doomed', 'Fresh', 'Deep\\Down'] as $name) {
            $class = "App\\Service\\{$name}";
            class_exists($class) && $said[] = $class::text();
        }
        return implode(', ', $said);
    }
}
