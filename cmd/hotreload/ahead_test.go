package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hotreload/hotreload/php"
)

func TestAnAnswerAheadCountsOnlyForTheFileThatWasChecked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.php")
	save := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	settled := func() {
		for id, _ := identify(file); time.Since(id.changed) < tick; {
			time.Sleep(time.Millisecond)
		}
	}
	var asked int
	a := &ahead{answers: map[string]*answer{}, check: func(_ context.Context, files []string) (php.Result, error) {
		asked++
		return php.Result{Checked: 1, Problems: []php.Problem{{File: files[0], Line: 1, Message: "broken"}}}, nil
	}}
	start := func() { a.start(t.Context(), []string{file}) }

	for young := false; !young; { // until it was looked at within one tick
		asked = 0
		save("<?php 1")
		id, _ := identify(file)
		start()
		young = time.Since(id.changed) < tick
		if _, unknown := a.take(t.Context(), []string{file}); young && (asked != 0 || !slices.Equal(unknown, []string{file})) {
			t.Errorf("a file that has just changed was checked ahead: unknown = %q", unknown)
		}
	}
	asked = 0
	settled()
	start()
	known, unknown := a.take(t.Context(), []string{file, "/other.php"})
	if len(known.Problems) != 1 || !slices.Equal(unknown, []string{"/other.php"}) {
		t.Errorf("known = %+v, unknown = %q", known, unknown)
	}
	if _, unknown := a.take(t.Context(), []string{file}); len(unknown) != 1 {
		t.Error("an answer was given twice")
	}
	start()
	save("<?php 2")
	if known, unknown := a.take(t.Context(), []string{file}); len(known.Problems) != 0 || len(unknown) != 1 {
		t.Errorf("the answer for an earlier content was given: %+v", known)
	}
}
