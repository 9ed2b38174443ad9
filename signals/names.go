package signals

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ParseSignal reads a signal as people write it: SIGUSR1, USR1, usr1, 10,
// SIGRTMIN+1.
func ParseSignal(name string) (syscall.Signal, error) {
	upper := strings.ToUpper(strings.TrimSpace(name))
	if n, err := strconv.Atoi(upper); err == nil {
		if n < 1 || n > lastSignal {
			return 0, fmt.Errorf("%q is not a signal: numbers go from 1 to %d", name, lastSignal)
		}
		return syscall.Signal(n), nil
	}
	if !strings.HasPrefix(upper, "SIG") {
		upper = "SIG" + upper
	}
	if sig := unix.SignalNum(upper); sig != 0 {
		return sig, nil
	}
	if sig := realtimeSignal(upper); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("%q is not a signal", name)
}

// realtimeSignal reads SIGRTMIN and SIGRTMIN+N; 0 when it is neither.
func realtimeSignal(name string) syscall.Signal {
	offset, found := strings.CutPrefix(name, "SIGRTMIN")
	if !found || lastSignal < int(SIGRTMIN) {
		return 0
	}
	if offset == "" {
		return SIGRTMIN
	}
	n, err := strconv.Atoi(strings.TrimPrefix(offset, "+"))
	if err != nil || offset[0] != '+' || n < 0 || int(SIGRTMIN)+n > lastSignal {
		return 0
	}
	return SIGRTMIN + syscall.Signal(n)
}

// SignalName is the inverse of [ParseSignal]: "SIGUSR1".
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	switch {
	case sig == SIGRTMIN:
		return "SIGRTMIN"
	case sig > SIGRTMIN && int(sig) <= lastSignal:
		return "SIGRTMIN+" + strconv.Itoa(int(sig-SIGRTMIN))
	}
	return strconv.Itoa(int(sig))
}
