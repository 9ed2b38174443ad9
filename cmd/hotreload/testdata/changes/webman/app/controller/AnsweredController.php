<?php

namespace app\controller;

class AnsweredController
{
    public function index()
    {
        return response('the middleware has not answered');
    }
}
