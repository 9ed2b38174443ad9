<?php

return ['bell' => ['handler' => app\process\Bell::class, 'listen' => 'text://127.0.0.1:9501']];
