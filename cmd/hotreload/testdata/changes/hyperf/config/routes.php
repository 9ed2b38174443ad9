<?php

use App\Controller;
use Hyperf\HttpServer\Router\Router;

// Each of these controllers answers one path with its index().
foreach ([
    'plain' => Controller\PlainController::class,
    'inject' => Controller\InjectController::class,
    'trait' => Controller\TraitController::class,
    'inject-trait' => Controller\InjectTraitController::class,
    'child' => Controller\ChildController::class,
    'grandchild' => Controller\GrandchildController::class,
    'inject-child' => Controller\InjectChildController::class,
    'constructed' => Controller\ConstructedController::class,
    'inject-constructed' => Controller\InjectConstructedController::class,
    'enum' => Controller\EnumController::class,
    'speaker' => Controller\SpeakerController::class,
    'lazy' => Controller\LazyController::class,
    'classes' => Controller\ClassesController::class,
    'woven' => Controller\WovenController::class,
    'other-woven' => Controller\OtherWovenController::class,
    'boom' => Controller\BoomController::class,
    'master' => Controller\MasterController::class,
    'configured' => Controller\ConfiguredController::class,
    'lang' => Controller\LangController::class,
    'view' => Controller\ViewController::class,
    'composer' => Controller\ComposerController::class,
    'saved' => Controller\SavedController::class,
] as $path => $controller) {
    Router::get("/{$path}", [$controller, 'index']);
}

Router::get('/routes', static fn () => 'routes v1');
