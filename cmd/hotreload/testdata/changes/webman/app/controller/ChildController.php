<?php

namespace app\controller;

use app\service\Ancestor;

class ChildController extends Ancestor
{
}
