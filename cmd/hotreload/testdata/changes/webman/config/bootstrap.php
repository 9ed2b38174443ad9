<?php

return [support\bootstrap\Session::class, app\bootstrap\Boot::class];
