package main

import "syscall"

// endsWithTest has a child asked to end when the test is killed (prctl(2), PR_SET_PDEATHSIG).
func endsWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
