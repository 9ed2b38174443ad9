package main

import (
	"testing"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// hyperfBase is Hyperf as its skeleton has it.
func hyperfBase(t *testing.T) *app {
	php := phpWith(t, "swoole", "pcntl")
	a := copyOf(t, checkout(t, "HOTRELOAD_TEST_HYPERF"))
	// Before the application is complete: the skeleton's class map has no classes that were written after it was installed.
	a.autoload(t, "app/helpers.php")
	a.copy("testdata/changes/hyperf")
	a.patch("config/autoload/server.php", "9501", a.port)
	a.patch("config/autoload/server.php", "swoole_cpu_num()", "2")
	if !a.composer {
		a.patch("bin/hyperf.php", "/vendor/autoload.php';", "/vendor/autoload.php';\nrequire BASE_PATH . '/app/helpers.php';")
	}
	a.command = append(php, "bin/hyperf.php", "start")
	a.careful = hasOPcache(php) && !hasOPcache(php[:1]) // the command itself switches it on: see hyperf.also
	return a
}

// hyperfProcess is Hyperf with a manager between its master and its workers.
func hyperfProcess(t *testing.T) *app {
	a := hyperfBase(t)
	a.patch("config/autoload/server.php", "SWOOLE_BASE", "SWOOLE_PROCESS")
	return a
}

// hyperfCoroutine is Hyperf as one process.
func hyperfCoroutine(t *testing.T) *app {
	a := hyperfBase(t)
	a.patch("config/autoload/server.php", "return [", "return [\n    'type' => Hyperf\\Server\\CoroutineServer::class,")
	a.marks = restarted
	return a
}

const (
	controllers = "app/Controller/"
	services    = "app/Service/"
	injected    = "    #[\\Hyperf\\Di\\Annotation\\Inject]\n    protected \\App\\Service\\Greeter $greeter;\n"
)

var hyperfChanges = []change{
	// What each worker loads.
	{"controller", save(controllers+"PlainController.php", "v1", "v2"), reloaded, "/plain", "plain v2"},
	{"controller with #[Inject]", save(controllers+"InjectController.php", "v1", "v2"), reloaded, "/inject", "hello, inject v2"},
	{"service that is injected", save(services+"Greeter.php", "hello, ", "dear "), reloaded, "/inject", "dear inject v2"},
	{"trait", save(services+"Talks.php", "v1", "v2"), reloaded, "/trait", "trait v2"},
	{"trait with #[Inject]", save(services+"TalksToo.php", "v1", "v2"), reloaded, "/inject-trait", "dear inject trait v2"},
	{"parent class", save(services+"Ancestor.php", "v1", "v2"), reloaded, "/child", "parent v2"},
	{"parent class of one with #[Inject]", save(services+"Ancestor.php", "v2", "v3"), reloaded, "/grandchild", "dear parent v3"},
	{"parent class with #[Inject]", save(services+"InjectAncestor.php", "v1", "v2"), reloaded, "/inject-child", "dear inject parent v2"},
	{"constructor added", save(controllers+"ConstructedController.php", "// constructor", "public function __construct(private Greeter $greeter) {}"), reloaded, "/constructed", "dear constructor"},
	{"constructor added beside #[Inject]", save(controllers+"InjectConstructedController.php", "// constructor", "public function __construct(private Woven $woven) {}"), reloaded, "/inject-constructed", "dear constructor"},
	{"enum", save("app/Constants/Colour.php", "v1", "v2"), reloaded, "/enum", "red v2, most v1"},
	{"constant of an interface", save("app/Contract/Limits.php", "v1", "v2"), reloaded, "/enum", "red v2, most v2"},
	{"class that is injected lazily", save(services+"Slow.php", "v1", "v2"), reloaded, "/lazy", "lazy v2"},
	{"middleware", save("app/Middleware/AnswerMiddleware.php", "v1", "v2"), reloaded, "/middleware", "middleware v2"},
	{"exception handler", save("app/Exception/Handler/AppExceptionHandler.php", "v1", "v2"), reloaded, "/boom", "handler v2: boom"},
	{"language file", save("storage/languages/en/messages.php", "v1", "v2"), reloaded, "/lang", "language v2, others.text"},
	{"new language file", create("storage/languages/en/others.php", "<?php\nreturn ['text' => 'other v1'];\n"), reloaded, "/lang", "language v2, other v1"},
	{"view", save("storage/view/page.blade.php", "v1", "v2"), reloaded, "/view", "view v2 part v1"},
	{"view that is included", save("storage/view/part.blade.php", "v1", "v2"), reloaded, "/view", "view v2 part v2"},

	// Classes that come and go.
	{"new class", create(services+"Fresh.php", classThatSays("App\\Service", "Fresh", "new class")), reloaded, "/classes", "old class, new class"},
	{"deleted class", remove(services + "Doomed.php"), reloaded, "/classes", "new class"},
	{"new class in new directories", create(services+"Deep/Down.php", classThatSays("App\\Service\\Deep", "Down", "deep class")), reloaded, "/classes", "new class, deep class"},
	{"new controller", create(controllers+"LateController.php", lateController), restarted, "/late/first", "late v1"},
	{"deleted controller", remove(controllers + "DoomedController.php"), restarted, "/doomed/index", "handler v2: Not Found"},

	// Annotations: the master has collected them.
	{"controller with routes", save(controllers+"MappedController.php", "v1", "v2"), reloaded, "/mapped/first", "mapped v2"},
	{"method with a route added", save(controllers+"MappedController.php", "}\n}", "}\n"+secondMethod), restarted, "/mapped/second", "second v1"},
	{"argument of an attribute", save(controllers+"MappedController.php", "'second'", "'third'"), restarted, "/mapped/third", "second v1"},
	{"attribute of a class added", save(controllers+"MappedController.php", "#[Controller", "#[Middleware(StampMiddleware::class)]\n#[Controller"), restarted, "/mapped/first", "mapped v2, stamped"},
	{"attribute of a class removed", save(controllers+"MappedController.php", "#[Middleware(StampMiddleware::class)]\n", ""), restarted, "/mapped/first", "mapped v2"},
	{"#[Inject] added", save(controllers+"PlainController.php", "{\n", "{\n"+injected), restarted, "/plain", "plain v2"},
	{"#[Inject] used", save(controllers+"PlainController.php", "'plain v2'", "$this->greeter->greet('plain v3')"), reloaded, "/plain", "dear plain v3"},
	{"#[Inject] removed", save(controllers+"PlainController.php", injected, "    public function __construct(private \\App\\Service\\Greeter $greeter) {}\n"), restarted, "/plain", "dear plain v3"},

	// Aspects.
	{"aspect", save("app/Aspect/LoudAspect.php", "v1", "v2"), reloaded, "/woven", "aspect v2 of woven v1"},
	{"class that an aspect is woven into", save(services+"Woven.php", "v1", "v2"), reloaded, "/woven", "aspect v2 of woven v2"},
	{"list of an aspect's classes", save("app/Aspect/LoudAspect.php", "::text',\n", "::text',\n        OtherWoven::class . '::text',\n"), restarted, "/other-woven", "aspect v2 of other woven v1"},
	{"new aspect", create("app/Aspect/QuietAspect.php", quietAspect), restarted, "/speaker", "quiet aspect of loud v1"},
	{"deleted aspect", remove("app/Aspect/QuietAspect.php"), restarted, "/speaker", "loud v1"},

	// What the master loads.
	{"controller with #[AutoController]", save(controllers+"AutomaticController.php", "v1", "v2"), restarted, "/automatic/first", "automatic v2"},
	{"trait of one with #[AutoController]", save(services+"TalksAutomatically.php", "v1", "v2"), restarted, "/automatic/talk", "automatic trait v2"},
	{"listener", save("app/Listener/BootListener.php", "v1", "v2"), restarted, "/master", "listener v2, psst, listener v1, configured listener v1, command v1, process v1, entry v1"},
	{"listener with #[Inject]", save("app/Listener/InjectListener.php", "v1", "v2"), restarted, "/master", "listener v2, psst, listener v2, configured listener v1, command v1, process v1, entry v1"},
	{"service that the master injects", save(services+"Whisperer.php", "psst, ", "pst, "), restarted, "/master", "listener v2, pst, listener v2, configured listener v1, command v1, process v1, entry v1"},
	{"listener in the configuration", save("app/Listener/ConfiguredListener.php", "v1", "v2"), restarted, "/master", "listener v2, pst, listener v2, configured listener v2, command v1, process v1, entry v1"},
	{"command", save("app/Command/SayCommand.php", "v1", "v2"), restarted, "/master", "listener v2, pst, listener v2, configured listener v2, command v2, process v1, entry v1"},
	{"user process", save("app/Process/ClockProcess.php", "v1", "v2"), restarted, "/master", "listener v2, pst, listener v2, configured listener v2, command v2, process v2, entry v1"},
	{"entry script", save("bin/hyperf.php", "error_reporting(E_ALL);", "error_reporting(E_ALL);\ndefine('ENTRY', 'entry v2');"), restarted, "/master", "listener v2, pst, listener v2, configured listener v2, command v2, process v2, entry v2"},

	{"implementation that the configuration names", save(services+"LoudSpeaker.php", "v1", "v2"), restarted, "/speaker", "loud v2"},

	// Configuration.
	{"route file", save("config/routes.php", "v1", "v2"), restarted, "/routes", "routes v2"},
	{"configuration", save("config/autoload/table.php", "v1", "v2"), restarted, "/configured", "config v2, env v1"},
	{".env", save(".env", "v1", "v2"), restarted, "/configured", "config v2, env v2"},
	{"dependency", save("config/autoload/dependencies.php", "LoudSpeaker", "QuietSpeaker"), restarted, "/speaker", "quiet v1"},
	{"syntax error in the configuration", save("config/autoload/table.php", "]", ""), refused(supervisor.Restart, "config/autoload/table.php:3: syntax error"), "/configured", "config v2, env v2"},
	{"… mended", save("config/autoload/table.php", "'config v2'", "'config v3']"), restarted, "/configured", "config v3, env v2"},

	// Composer.
	{"helper that composer loads", save("app/helpers.php", "v1", "v2"), restarted, "/composer", "helper v2, no more"},
	{"composer dump-autoload", dumpAutoload("app/helpers.php", "app/more.php"), restarted, "/composer", "helper v2, more v1"},

	// Ways to save a file.
	{"saved", save(controllers+"SavedController.php", "v1", "v2"), reloaded, "/saved", "dear saved v2"},
	{"saved in the same second", saveAt(0, controllers+"SavedController.php", "v2", "v3"), reloaded, "/saved", "dear saved v3"},
	{"replaced by an older one", saveAt(-time.Hour, controllers+"SavedController.php", "v3", "v4"), reloaded, "/saved", "dear saved v4"},
	{"renamed over", saveOver(controllers+"SavedController.php", "v4", "v5"), reloaded, "/saved", "dear saved v5"},
	{"touched", touch(controllers + "SavedController.php"), ignored, "/saved", "dear saved v5"},
	{"same content", save(controllers+"SavedController.php", "v5", "v5"), ignored, "/saved", "dear saved v5"},
	{"several files", together(save(controllers+"SavedController.php", "v5", "v6"), save(services+"Greeter.php", "dear ", "good "), create(services+"Another.php", classThatSays("App\\Service", "Another", ""))), reloaded, "/saved", "good saved v6"},
	{"view replaced by an older one", saveAt(-time.Hour, "storage/view/page.blade.php", "v2", "v3"), reloaded, "/view", "view v3 part v2"},

	// Code that does not work.
	{"syntax error", save(controllers+"SavedController.php", "v6'", "v7"), refused(supervisor.Reload, "app/Controller/SavedController.php:16: syntax error"), "/saved", "good saved v6"},
	{"… mended", save(controllers+"SavedController.php", "v7", "v8'"), reloaded, "/saved", "good saved v8"},
	{"attribute that does not exist", save(controllers+"SavedController.php", "class Saved", "#[NoSuch]\nclass Saved"), refused(supervisor.Reload, "NoSuch"), "/saved", "good saved v8"},
	{"… mended", save(controllers+"SavedController.php", "#[NoSuch]\n", ""), reloaded, "/saved", "good saved v8"},
	{"attribute that does not exist, where the master loads it", save(controllers+"AutomaticController.php", "class Auto", "#[NoSuch]\nclass Auto"), refused(supervisor.Restart, "NoSuch"), "/automatic/first", "automatic v2"},
	{"… mended", save(controllers+"AutomaticController.php", "#[NoSuch]\n", ""), restarted, "/automatic/first", "automatic v2"},
	{"parent that does not exist", save(controllers+"SavedController.php", "class SavedController", "class SavedController extends Nobody"), refused(supervisor.Reload, "Nobody"), "/saved", "good saved v8"},
	{"… mended", save(controllers+"SavedController.php", " extends Nobody", ""), reloaded, "/saved", "good saved v8"},
}

// hyperfProcessChanges are those for which it could matter who forks.
var hyperfProcessChanges = []change{
	{"controller", save(controllers+"PlainController.php", "v1", "v2"), reloaded, "/plain", "plain v2"},
	{"controller with #[Inject]", save(controllers+"InjectController.php", "v1", "v2"), reloaded, "/inject", "hello, inject v2"},
	{"service that is injected", save(services+"Greeter.php", "hello, ", "dear "), reloaded, "/inject", "dear inject v2"},
	{"aspect", save("app/Aspect/LoudAspect.php", "v1", "v2"), reloaded, "/woven", "aspect v2 of woven v1"},
	{"new class", create(services+"Fresh.php", classThatSays("App\\Service", "Fresh", "new class")), reloaded, "/classes", "old class, new class"},
	{"#[Inject] added", save(controllers+"PlainController.php", "{\n", "{\n"+injected), restarted, "/plain", "plain v2"},
	{"controller with #[AutoController]", save(controllers+"AutomaticController.php", "v1", "v2"), restarted, "/automatic/first", "automatic v2"},
	{"listener", save("app/Listener/BootListener.php", "v1", "v2"), restarted, "/master", "listener v2, psst, listener v1, configured listener v1, command v1, process v1, entry v1"},
	{"listener with #[Inject]", save("app/Listener/InjectListener.php", "v1", "v2"), restarted, "/master", "listener v2, psst, listener v2, configured listener v1, command v1, process v1, entry v1"},
	{"route file", save("config/routes.php", "v1", "v2"), restarted, "/routes", "routes v2"},
	{".env", save(".env", "v1", "v2"), restarted, "/configured", "config v1, env v2"},
	{"syntax error", save(controllers+"InjectController.php", "v2'", "v3"), refused(supervisor.Reload, "InjectController.php:15: syntax error"), "/inject", "dear inject v2"},
	{"… mended", save(controllers+"InjectController.php", "v3", "v3'"), reloaded, "/inject", "dear inject v3"},
}

var hyperfCoroutineChanges = []change{
	{"controller", save(controllers+"PlainController.php", "v1", "v2"), restarted, "/plain", "plain v2"},
	{"controller with #[Inject]", save(controllers+"InjectController.php", "v1", "v2"), restarted, "/inject", "hello, inject v2"},
	{"… in the same second", saveAt(0, controllers+"InjectController.php", "v2", "v3"), restarted, "/inject", "hello, inject v3"},
	{"touched", touch(controllers + "InjectController.php"), ignored, "/inject", "hello, inject v3"},
	{"syntax error", save(controllers+"InjectController.php", "v3'", "v4"), refused(supervisor.Reload, "InjectController.php:15: syntax error"), "/inject", "hello, inject v3"},
	{"… mended", save(controllers+"InjectController.php", "v4", "v4'"), restarted, "/inject", "hello, inject v4"},
}

// classThatSays is the code of a class with a static method text.
func classThatSays(namespace, name, text string) string {
	return "<?php\n\nnamespace " + namespace + ";\n\nclass " + name + "\n{\n    public static function text(): string\n    {\n        return '" + text + "';\n    }\n}\n"
}

const lateController = `<?php

namespace App\Controller;

use Hyperf\HttpServer\Annotation\AutoController;

#[AutoController(prefix: 'late')]
class LateController
{
    public function first(): string
    {
        return 'late v1';
    }
}
`

const secondMethod = `
    #[GetMapping(path: 'second')]
    public function second(): string
    {
        return 'second v1';
    }
}
`

const quietAspect = `<?php

namespace App\Aspect;

use App\Service\LoudSpeaker;
use Hyperf\Di\Annotation\Aspect;
use Hyperf\Di\Aop\AbstractAspect;
use Hyperf\Di\Aop\ProceedingJoinPoint;

#[Aspect]
class QuietAspect extends AbstractAspect
{
    public array $classes = [LoudSpeaker::class . '::speak'];

    public function process(ProceedingJoinPoint $point)
    {
        return 'quiet aspect of ' . $point->process();
    }
}
`
