<?php

function helper(): string
{
    return 'helper v1';
}
