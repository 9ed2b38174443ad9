<?php

namespace App;

class Talker extends Plain
{
    use Talks;
}
