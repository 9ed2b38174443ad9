package signals

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

var platformRoles = map[string]func(argument string){
	// Blocks SIGUSR1, with a signalfd or without, and becomes a program with one
	// thread: the mask and the descriptor survive exec, the handlers of Go do not.
	"block": func(style string) {
		runtime.LockOSThread()
		set := unix.Sigset_t{}
		set.Val[0] = 1 << (unix.SIGUSR1 - 1)
		check(unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil))
		if style == "signalfd" {
			_, err := unix.Signalfd(-1, &set, 0)
			check(err)
		}
		becomeShell(`echo ready; read line`)
	},
	// What a child sees of the signals of its parent.
	"show-status": func(string) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
		cat := exec.Command("cat", "/proc/self/status")
		cat.Stdout = os.Stdout
		check(NewReaper().Run(cat))
		os.Exit(0)
	},
	"reaper": reaperRole,
	// Has a file mapped, and nothing of it open.
	"map": func(path string) {
		f, err := os.Open(path)
		check(err)
		_, err = unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ, unix.MAP_PRIVATE)
		check(err)
		check(f.Close())
		ready()
	},
	"chroot": func(dir string) {
		check(unix.Chroot(dir))
		ready()
	},
	// Prints who uses a directory, and who cannot be looked at, as another user.
	"using": func(dir string) {
		check(unix.Setgid(65534))
		check(unix.Setuid(65534))
		users, hidden, err := Using([]string{dir})
		check(err)
		fmt.Print("ready used by")
		for _, info := range users[dir] {
			fmt.Print(" ", info.PID)
		}
		fmt.Print(" hidden")
		for _, info := range hidden {
			fmt.Print(" ", info.PID)
		}
		fmt.Println()
	},
}

// reaperRole is an init: orphans come in hundreds while its own children must keep
// their exit codes.
func reaperRole(orphans string) {
	check(BecomeSubreaper())
	reaper := NewReaper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- reaper.Serve(ctx) }()

	// Not waited for until the end: its zombie must not hide the others.
	early := command("exit:3")
	check(reaper.Start(early))

	script := exec.Command("sh", "-c", `i=0; while [ $i -lt `+orphans+` ]; do (true &); i=$((i+1)); done`)
	check(reaper.Start(script))
	for i := range 40 {
		err := reaper.Run(exec.Command("sh", "-c", "exit "+strconv.Itoa(i)))
		if code := exitCode(err); code != i {
			fail("exit code of child", i, "is", code, err)
		}
	}
	check(reaper.Wait(script))
	if code := exitCode(reaper.Wait(early)); code != 3 {
		fail("exit code of the early child is", code)
	}
	for { // until the last orphan is reaped
		children, _, err := childrenOf(os.Getpid())
		check(err)
		if len(children) == 0 {
			break
		}
		runtime.Gosched()
	}
	cancel()
	if err := <-served; err != context.Canceled {
		fail("Serve returned", err)
	}
	fmt.Println("ready")
	os.Exit(0)
}

func exitCode(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func becomeShell(script string) {
	sh, err := exec.LookPath("sh")
	check(err)
	check(syscall.Exec(sh, []string{"sh", "-c", script}, os.Environ()))
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(words ...any) {
	fmt.Fprintln(os.Stderr, words...)
	os.Exit(1)
}
