<?php

namespace app\controller;

class ViewController
{
    public function index()
    {
        return view('page/index', ['name' => 'view']);
    }
}
