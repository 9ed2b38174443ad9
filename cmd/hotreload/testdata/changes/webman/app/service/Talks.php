<?php

namespace app\service;

trait Talks
{
    public function talk()
    {
        return response('trait v1');
    }
}
