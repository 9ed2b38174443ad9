//go:build !linux

package watcher

import "fmt"

// Recording would note which files are opened. Here the system does not tell.
type Recording struct{}

func record([]place, *matcher, RecordOptions, func()) (*Recording, error) {
	return nil, fmt.Errorf("%w on this system", ErrNotRecorded)
}

// Cut does nothing.
func (*Recording) Cut() {}

// Exact returns false.
func (*Recording) Exact() bool { return false }

// Close returns ErrNotRecorded.
func (*Recording) Close() (Opened, error) { return nil, ErrNotRecorded }
