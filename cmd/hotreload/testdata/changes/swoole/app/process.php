<?php

return 'process v1';
