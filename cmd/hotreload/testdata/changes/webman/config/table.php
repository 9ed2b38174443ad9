<?php

return ['text' => 'config v1'];
