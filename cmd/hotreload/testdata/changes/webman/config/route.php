<?php

use Webman\Route;

Route::get('/routed', static fn () => response('routed v1'));
