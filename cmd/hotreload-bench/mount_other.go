//go:build !linux

package main

import "errors"

func mountDisk(string, string) (func() error, error) { return nil, errors.ErrUnsupported }

func coverReadOnly(string) (func() error, error) { return nil, errors.ErrUnsupported }
