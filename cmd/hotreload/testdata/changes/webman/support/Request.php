<?php

namespace support;

class Request extends \Webman\Http\Request
{
    public function text(): string
    {
        return 'request v1';
    }
}
