<?php

return ['controller_suffix' => 'Controller', 'text' => 'plugin config v1'];
