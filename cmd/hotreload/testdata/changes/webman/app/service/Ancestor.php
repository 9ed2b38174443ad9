<?php

namespace app\service;

abstract class Ancestor
{
    use Talks;

    public function index()
    {
        return response('parent v1');
    }
}
