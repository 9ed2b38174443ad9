package supervisor

import (
	"slices"
	"syscall"
	"testing"

	"github.com/hotreload/hotreload/signals"
)

// The masks below were read from /proc/PID/status of real servers on PHP 8.2.

type fakeProc struct {
	pid, ppid       int
	caught, blocked []syscall.Signal
	title, exe      string
	grown           bool
}

var zendCaught = []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGPROF}

func caught(more ...syscall.Signal) []syscall.Signal {
	return append(slices.Clone(zendCaught), more...)
}

var (
	swooleManager  = caught(syscall.SIGALRM, syscall.SIGCHLD, syscall.SIGWINCH, syscall.SIGIO)
	swoole5Manager = caught(syscall.SIGALRM, syscall.SIGCHLD, syscall.SIGIO)
	swooleTask     = caught(syscall.SIGPIPE, syscall.SIGWINCH)
	swoole5Task    = caught(syscall.SIGPIPE)
	swooleWorker   = []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGWINCH}
	swoole5Worker  = []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGVTALRM}
	swooleMaster   = append(slices.Clone(swooleWorker), syscall.SIGCHLD)
	workermanAll   = caught(syscall.SIGABRT, syscall.SIGALRM, syscall.SIGTSTP, syscall.SIGIO)
)

func procs(fakes []fakeProc) []proc {
	var out []proc
	for _, f := range fakes {
		out = append(out, proc{
			Info:  signals.Info{Process: signals.Process{PID: f.pid}, PPID: f.ppid},
			masks: signals.Masks{Caught: signals.NewSet(f.caught...), Blocked: signals.NewSet(f.blocked...)},
			title: f.title, exe: f.exe, grown: f.grown,
		})
	}
	return out
}

func TestClassify(t *testing.T) {
	tests := []struct {
		name   string
		layout Layout
		tree   []fakeProc
		want   []Role
	}{
		{"nothing", LayoutSwoole, nil, nil},
		{"Swoole 6.2 PROCESS with task worker and user processes", LayoutSwoole, []fakeProc{
			{pid: 1, caught: zendCaught, blocked: swooleMaster},
			{pid: 2, ppid: 1, caught: swooleManager},
			{pid: 3, ppid: 2, caught: swooleTask},
			{pid: 4, ppid: 2, caught: zendCaught, blocked: swooleWorker},
			{pid: 5, ppid: 2, caught: zendCaught, blocked: swooleWorker},
			{pid: 6, ppid: 2, caught: zendCaught},
		}, []Role{Master, Manager, TaskWorker, Worker, Worker, UserProcess}},
		{"Swoole 5.1 PROCESS", LayoutSwoole, []fakeProc{
			{pid: 1, caught: zendCaught, blocked: swooleMaster},
			{pid: 2, ppid: 1, caught: swoole5Manager},
			{pid: 3, ppid: 2, caught: swoole5Task},
			{pid: 4, ppid: 2, caught: zendCaught, blocked: swoole5Worker},
			{pid: 5, ppid: 2, caught: zendCaught},
		}, []Role{Master, Manager, TaskWorker, Worker, UserProcess}},
		{"Swoole BASE", LayoutSwoole, []fakeProc{
			{pid: 1, caught: swooleManager},
			{pid: 2, ppid: 1, caught: swooleTask},
			{pid: 3, ppid: 1, caught: zendCaught, blocked: swooleWorker},
			{pid: 4, ppid: 1, caught: zendCaught},
		}, []Role{Master, TaskWorker, Worker, UserProcess}},
		{"Swoole BASE with a single process", LayoutSwoole, []fakeProc{
			{pid: 1, caught: zendCaught, blocked: swooleWorker},
		}, []Role{Master}},
		{"a worker just forked still has its manager's handlers", LayoutSwoole, []fakeProc{
			{pid: 1, caught: zendCaught, blocked: swooleMaster},
			{pid: 2, ppid: 1, caught: swooleManager},
			{pid: 3, ppid: 2, caught: swooleManager},
			{pid: 4, ppid: 2, caught: zendCaught, blocked: swooleWorker},
		}, []Role{Master, Manager, Helper, Worker}},
		{"a user process that catches SIGCHLD", LayoutSwoole, []fakeProc{
			{pid: 1, caught: swooleManager},
			{pid: 2, ppid: 1, caught: zendCaught, blocked: swooleWorker},
			{pid: 3, ppid: 1, caught: caught(syscall.SIGCHLD), grown: true},
		}, []Role{Master, Worker, UserProcess}},
		{"PROCESS before the manager has forked anything", LayoutSwoole, []fakeProc{
			{pid: 1, caught: zendCaught, blocked: swooleMaster},
			{pid: 2, ppid: 1, caught: swooleManager},
		}, []Role{Master, Manager}},
		{"a command run by a worker", LayoutSwoole, []fakeProc{
			{pid: 1, caught: swooleManager},
			{pid: 2, ppid: 1, caught: zendCaught, blocked: swooleWorker},
			{pid: 3, ppid: 2, caught: zendCaught},
		}, []Role{Master, Worker, Helper}},
		{"BASE with one worker that runs a command is no PROCESS", LayoutSwoole, []fakeProc{
			{pid: 1, caught: swooleManager},
			{pid: 2, ppid: 1, caught: zendCaught, blocked: swooleWorker},
			{pid: 3, ppid: 2, caught: zendCaught, blocked: swooleWorker},
		}, []Role{Master, Worker, Helper}},
		{"Workerman with webman's monitor", LayoutWorkerman, []fakeProc{
			{pid: 1, caught: workermanAll},
			{pid: 2, ppid: 1, caught: workermanAll, title: "WorkerMan: worker process  webman http://0.0.0.0:8787"},
			{pid: 3, ppid: 1, caught: workermanAll, title: "WorkerMan: worker process  monitor none"},
		}, []Role{Master, Worker, UserProcess}},
		{"a single Workerman worker is no manager", LayoutWorkerman, []fakeProc{
			{pid: 1, caught: workermanAll},
			{pid: 2, ppid: 1, caught: workermanAll},
			{pid: 3, ppid: 2},
		}, []Role{Master, Worker, Helper}},
		{"any forking server", LayoutForked, []fakeProc{{pid: 1}, {pid: 2, ppid: 1}, {pid: 3, ppid: 1}},
			[]Role{Master, Worker, Worker}},
		{"any forking server with a manager", LayoutForked, []fakeProc{{pid: 1}, {pid: 2, ppid: 1}, {pid: 3, ppid: 2}, {pid: 4, ppid: 2}},
			[]Role{Master, Manager, Worker, Worker}},
		{"the only worker runs a command", LayoutForked, []fakeProc{{pid: 1, exe: "php"}, {pid: 2, ppid: 1, exe: "php"}, {pid: 3, ppid: 2, exe: "sleep"}},
			[]Role{Master, Worker, Helper}},
		{"the master runs a command", LayoutForked, []fakeProc{{pid: 1, exe: "php"}, {pid: 2, ppid: 1, exe: "php"}, {pid: 3, ppid: 1, exe: "sh"}},
			[]Role{Master, Worker, Helper}},
		{"any program", LayoutSingle, []fakeProc{{pid: 1}, {pid: 2, ppid: 1}}, []Role{Master, Helper}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := classify(tt.layout, procs(tt.tree)); !slices.Equal(got, tt.want) {
				t.Errorf("classify = %v, want %v", got, tt.want)
			}
		})
	}
}

// PHP catches SIGUSR1 from its very start, and dies of it unless the script has a handler.
func TestHandlersOfTheServerAndThoseOfPHP(t *testing.T) {
	tests := []struct {
		name string
		fake fakeProc
		want bool
	}{
		{"php that has just started", fakeProc{caught: zendCaught}, false},
		{"nothing caught", fakeProc{}, false},
		{"Swoole PROCESS master", fakeProc{caught: zendCaught, blocked: swooleMaster}, true},
		{"Swoole BASE master", fakeProc{caught: swooleManager}, true},
		{"Workerman master", fakeProc{caught: workermanAll}, true},
		{"pcntl with SIGCHLD", fakeProc{caught: caught(syscall.SIGCHLD)}, true},
		{"handlers blocked around a fork", fakeProc{caught: caught(syscall.SIGCHLD), blocked: []syscall.Signal{syscall.SIGUSR1, syscall.SIGCHLD}}, true},
		{"signals blocked around a fork", fakeProc{caught: zendCaught, blocked: []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGCHLD}}, false},
		{"other signals only", fakeProc{caught: []syscall.Signal{syscall.SIGCHLD}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := procs([]fakeProc{tt.fake})[0].handles(syscall.SIGUSR1); got != tt.want {
				t.Errorf("handles(SIGUSR1) = %v, want %v", got, tt.want)
			}
		})
	}
}
