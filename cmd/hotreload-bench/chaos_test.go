package main

import (
	"strings"
	"testing"
)

// A few kills of each kind, at other moments in each run. What must be true is in chaos_check.go.
func TestChaos(t *testing.T) {
	t.Parallel()
	b := newTestBench(t)
	var out strings.Builder
	b.out, b.scale.kills = &out, 10
	err := measureChaos(t.Context(), b)
	t.Log(out.String())
	if err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	b := newTestBench(t)
	var out strings.Builder
	b.out = &out
	err := b.measureFaults(t.Context())
	t.Log(out.String())
	if err != nil {
		t.Error(err)
	}
}
