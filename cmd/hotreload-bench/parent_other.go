//go:build !linux

package main

import "syscall"

// endsWithParent is not possible here: the workers of a target that is killed stay.
func endsWithParent() *syscall.SysProcAttr { return nil }
