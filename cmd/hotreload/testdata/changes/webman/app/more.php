<?php

function more(): string
{
    return 'more v1';
}
