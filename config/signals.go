package config

import (
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

type sig = syscall.Signal

// ParseSignal reads the name of a signal, with or without "SIG", in any case:
// "SIGUSR1", "usr1". The empty string is 0, no signal. Numbers are refused,
// because they differ between platforms.
func ParseSignal(name string) (syscall.Signal, error) {
	sig, f := readSignal(name)
	if f != nil {
		return 0, &Error{Key: name, Msg: f.msg, Suggestion: f.suggestion}
	}
	return sig, nil
}

func readSignal(name string) (syscall.Signal, *fault) {
	if name == "" {
		return 0, nil
	}
	full := strings.ToUpper(name)
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	sig := unix.SignalNum(full)
	switch {
	case sig == 0:
		f := faultf("%q is not a signal", name)
		if near := nearest(full[len("SIG"):], signalNames()); near != "" {
			f.meaning(quote("SIG" + near))
		}
		return 0, f
	case sig == syscall.SIGKILL || sig == syscall.SIGSTOP:
		return 0, faultf("a server cannot handle %s", full)
	}
	return sig, nil
}

// signalNames are the names without SIG.
func signalNames() []string {
	var names []string
	for n := syscall.Signal(1); n < 65; n++ {
		if name := unix.SignalName(n); name != "" {
			names = append(names, strings.TrimPrefix(name, "SIG"))
		}
	}
	slices.Sort(names)
	return names
}

func signalName(sig syscall.Signal) string {
	if sig == 0 {
		return ""
	}
	return unix.SignalName(sig)
}
