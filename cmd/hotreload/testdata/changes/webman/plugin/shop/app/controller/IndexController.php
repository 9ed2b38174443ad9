<?php

namespace plugin\shop\app\controller;

class IndexController
{
    public function index()
    {
        return response('plugin v1, ' . config('plugin.shop.app.text'));
    }
}
