<?php

function text_of_functions(): string
{
    return 'functions v1';
}
