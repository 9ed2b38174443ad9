<?php

return static fn (): string => 'task v1';
