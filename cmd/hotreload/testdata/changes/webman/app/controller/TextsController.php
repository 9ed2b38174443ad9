<?php

namespace app\controller;

use app\bootstrap\Boot;
use support\Log;
use support\Request;
use Webman\App;
use Workerman\Connection\TcpConnection;

/** Says what the files say that every worker loads when it starts, and what the master has. */
class TextsController
{
    public function index(Request $request)
    {
        return response(implode(', ', [
            Boot::$said, text_of_functions(), $request->text(), config('table.text'), config('late.text', 'no more'), getenv('TEXT'),
        ]));
    }

    public function master()
    {
        return response(implode(', ', [
            defined('ENTRY') ? ENTRY : 'entry v1', App::worker()->count . ' workers', TcpConnection::$defaultMaxPackageSize . ' bytes',
            'logs from ' . Log::channel()->getHandlers()[0]->getLevel(), basename(public_path()),
        ]));
    }

    public function clock()
    {
        return response(file_get_contents(runtime_path('clock')));
    }

    public function bell()
    {
        return response(file_get_contents(runtime_path('bell')));
    }

    public function composer()
    {
        return response(helper() . ', ' . (function_exists('more') ? more() : 'no more'));
    }
}
