<?php

namespace App\Controller;

use App\Service\InjectAncestor;

class InjectChildController extends InjectAncestor
{
}
