package main

import (
	"context"
	"strings"
	"testing"
)

// A few kills, other ones each time: the seed that is printed repeats them. What must be true after each is in chaos_check.go.
func TestKills(t *testing.T) {
	t.Parallel()
	b := newTestBench(t)
	b.scale.kills = 10
	judge(t, b, b.measureKills)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	b := newTestBench(t)
	judge(t, b, b.measureFaults)
}

func judge(t *testing.T, b *bench, section func(context.Context) error) {
	t.Helper()
	var out strings.Builder
	b.out = &out
	err := section(t.Context())
	t.Log(out.String())
	if err != nil {
		t.Error(err)
	}
}
