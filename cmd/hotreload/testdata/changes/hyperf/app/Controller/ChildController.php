<?php

namespace App\Controller;

use App\Service\Ancestor;

class ChildController extends Ancestor
{
}
