//go:build !linux

package main

import "syscall"

// endsWithTest is not possible here.
func endsWithTest() *syscall.SysProcAttr { return nil }
