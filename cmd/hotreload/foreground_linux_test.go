package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hotreload/hotreload/signals"
)

// As the first program of its terminal, which is what `docker run -it` makes of it.
func TestProgramWithATerminal(t *testing.T) {
	x := inTerminal(t, []string{"NO_COLOR=1"}, "hotreload", "run", "--kind", "none", "--", "sh")
	x.sees(`serving`)
	x.press("n=three; test -t 0 && test -t 1 && test -t 2 && echo terminals: $n\r")
	x.sees(`terminals: three`)
	program := x.program("sh")
	if front := x.front(); front != program.PGID || program.PGID != program.PID {
		t.Errorf("in front is group %d, and not that of the program: %+v", front, program)
	}

	// It has job control.
	x.press("cat\r")
	cat := x.finds(func(i signals.Info, _ string) bool { return i.PPID == program.PID && i.Comm == "cat" })
	x.brings(cat)
	x.press("\x1a")
	x.becomes(cat, 'T')
	x.press("echo the shell $((40+2)); fg\r")
	x.sees(`the shell 42`)
	x.brings(cat)
	x.press("\x03")
	x.brings(program) // what is typed before is thrown away
	x.press("exit 7\r")
	if code := x.exits(); code != 7 {
		t.Errorf("exit code %d, want that of the shell", code)
	}
}

// Ctrl-C reaches the program once, and is no wish that hotreload should stop.
func TestCtrlCIsForTheProgram(t *testing.T) {
	x := inTerminal(t, []string{"NO_COLOR=1"}, "hotreload", "run", "--kind", "none", "--",
		"sh", "-c", `trap 'echo caught INT $((40+2))' INT; echo reads $((40+2)); until read line; do :; done; echo got $line; exit 6`)
	x.sees(`reads 42`)
	x.press("\x03")
	x.sees(`caught INT 42`)
	x.press("words\r")
	x.sees(`got words`)
	if code := x.exits(); code != 6 {
		t.Errorf("exit code %d, want that of the program", code)
	}
	if n := strings.Count(x.screen(), "caught INT 42"); n != 1 {
		t.Errorf("Ctrl-C came %d times", n)
	}
	if strings.Contains(x.screen(), "stopping") {
		t.Errorf("hotreload took it for a wish of its own:\n%s", x.screen())
	}
}

// Where nobody could continue it, Ctrl-Z does not stop a program for ever.
func TestSuspendWithoutAShell(t *testing.T) {
	x := inTerminal(t, []string{"NO_COLOR=1"}, "hotreload", "run", "--kind", "none", "--", "sh", "-c", "echo reads $((40+2)); read line; echo got $line; exit 3")
	x.sees(`reads 42`)
	program := x.program("sh")
	x.press("\x1a")
	x.sees(`\^Z`)
	x.press("words\r") // what a stopped program would not read
	x.sees(`got words`)
	if code := x.exits(); code != 3 {
		t.Errorf("exit code %d, want 3 of program %d", code, program.PID)
	}
}

// Below a shell, hotreload and the program are one job.
func TestSuspendBelowAShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	x := inTerminal(t, []string{"NO_COLOR=1", "PS1=$ "}, bash, "--norc", "--noediting", "-i")
	x.press("hotreload run --kind none -- sh -c 'echo reads $((40+2)); read line; echo got $line; read line; echo then $line; exit 0'\r")
	x.sees(`reads 42`)
	program := x.program("sh")
	hotreload := x.hotreload(program)
	x.press("\x1a")
	x.sees(`Stopped`)
	x.becomes(program, 'T')
	x.becomes(hotreload, 'T')
	x.press("echo the shell $((40+2))\r")
	x.sees(`the shell 42`)

	x.press("bg; echo in the back$((40+2))\r")
	x.sees(`in the back42`)
	// Reading from the back stops it again: the whole job, so that the shell knows.
	x.press("while jobs | grep -q Running; do sleep 0.05; done; echo it is $((40+2))\r")
	x.sees(`it is 42`)
	x.becomes(program, 'T')
	x.becomes(hotreload, 'T')

	x.press("fg\r")
	x.brings(program)
	x.press("words\r")
	x.sees(`got words`)
	x.press("\x1a")
	x.sees(`(?s)got words.*Stopped`)
	x.press("fg\r")
	x.brings(program)
	x.press("more\r")
	x.sees(`then more`)
	x.press("echo back $((40+2))\r") // the terminal is the shell's again
	x.sees(`back 42`)
	x.press("exit\r")
	x.exits()
}

// The next program is in front as the one before was.
func TestRestartOfAProgramWithATerminal(t *testing.T) {
	x := inTerminal(t, []string{"NO_COLOR=1"}, "hotreload", "run", "--kind", "none", "--",
		"sh", "-c", "echo program $$ reads; read line; echo got $line; exit 3")
	x.sees(`serving`)
	first := x.program("sh")
	restart := exec.Command("hotreload", "restart")
	restart.Dir, restart.Env = x.cmd.Dir, x.cmd.Env
	if out, err := restart.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	second := x.program("sh")
	if second.PID == first.PID {
		t.Fatal("it was not restarted")
	}
	x.brings(second)
	x.press("words\r")
	x.sees(`got words`)
	if code := x.exits(); code != 3 {
		t.Errorf("exit code %d, want that of the program", code)
	}
}

// A script goes on in the terminal after a program that was in front of it.
func TestTerminalAfterAProgram(t *testing.T) {
	x := inTerminal(t, []string{"NO_COLOR=1"}, "sh", "-c", "hotreload run --kind none -- sh -c 'echo one; exit 5'; echo code $?; read line; echo read $line")
	x.sees(`code 5`)
	x.press("words\r")
	x.sees(`read words`)
	if code := x.exits(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The others of a pipeline need the terminal as well, and a job in the background has it no more.
func TestTerminalOfOthers(t *testing.T) {
	x := inTerminal(t, []string{"NO_COLOR=1"}, "sh", "-c", "hotreload run --kind none -- sh -c 'read line; echo read=$line; exit 4' | cat; echo the script $((40+2))")
	x.sees(`read=\s`)
	x.sees(`the script 42`)
	x.exits()

	bash, err := exec.LookPath("bash")
	if err != nil {
		return
	}
	x = inTerminal(t, []string{"NO_COLOR=1", "PS1=$ "}, bash, "--norc", "--noediting", "-i")
	x.press("hotreload run --kind none -- sh -c 'read line; echo read=$line.; exit 4' &\r")
	x.sees(`read=\.`)
	x.press("echo the shell $((40+2)); exit\r")
	x.sees(`the shell 42`)
	x.exits()
}

// program waits for the program that hotreload has started in this terminal.
func (x *terminal) program(comm string) signals.Info {
	x.t.Helper()
	return x.finds(func(i signals.Info, parent string) bool { return i.Comm == comm && parent == "hotreload" })
}

func (x *terminal) hotreload(program signals.Info) signals.Info {
	x.t.Helper()
	return x.finds(func(i signals.Info, _ string) bool { return i.PID == program.PPID })
}

// finds waits for a process of this terminal's session. It is told the name of its parent too.
func (x *terminal) finds(is func(i signals.Info, parent string) bool) (found signals.Info) {
	x.t.Helper()
	x.until(func() error {
		table, err := signals.Snapshot()
		if err != nil {
			return err
		}
		names := map[int]string{}
		all := table.Select(func(i signals.Info) bool { return i.SID == x.cmd.Process.Pid })
		for _, i := range all {
			exe, _ := i.Cmdline()
			if len(exe) > 0 {
				names[i.PID] = filepath.Base(exe[0])
			}
		}
		for _, i := range all {
			if is(i, names[i.PPID]) {
				found = i
				return nil
			}
		}
		return fmt.Errorf("no such process; there are %v:\n%s", names, x.screen())
	})
	return found
}

// becomes waits until a process is in a state.
func (x *terminal) becomes(p signals.Info, state byte) {
	x.t.Helper()
	x.until(func() error {
		info, err := p.Info()
		if err == nil && info.State != state {
			err = fmt.Errorf("process %d (%s) is in state %c, not %c:\n%s", p.PID, p.Comm, info.State, state, x.screen())
		}
		return err
	})
}

// brings waits until the process group of p is in the foreground.
func (x *terminal) brings(p signals.Info) {
	x.t.Helper()
	x.until(func() error {
		if front := x.front(); front != p.PGID {
			return fmt.Errorf("in front is group %d, and not that of %s:\n%s", front, p.Comm, x.screen())
		}
		return nil
	})
}

// front is the process group in the foreground.
func (x *terminal) front() int {
	x.t.Helper()
	group, err := unix.IoctlGetInt(int(x.ptmx.Fd()), unix.TIOCGPGRP)
	if err != nil {
		x.t.Fatal(os.NewSyscallError("TIOCGPGRP", err))
	}
	return group
}
