<?php

return ['enable' => false];
