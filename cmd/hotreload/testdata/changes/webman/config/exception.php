<?php

return ['' => app\exception\Handler::class];
