<?php

return ['text' => 'language v1'];
