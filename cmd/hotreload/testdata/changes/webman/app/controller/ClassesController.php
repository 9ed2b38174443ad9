<?php

namespace app\controller;

/** Says which of the classes that come and go are there. */
class ClassesController
{
    public function index()
    {
        $said = [];
        foreach (['Doomed', 'Fresh', 'deep\\Down'] as $name) {
            $class = "app\\service\\{$name}";
            class_exists($class) && $said[] = $class::text();
        }
        return response(implode(', ', $said));
    }
}
