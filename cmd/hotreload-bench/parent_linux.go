package main

import "syscall"

// endsWithParent makes a child end with the thread that starts it (prctl(2), PR_SET_PDEATHSIG).
func endsWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
