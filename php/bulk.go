package php

import (
	"bytes"
	"context"
	_ "embed"
	"strconv"
	"strings"
)

//go:embed bulk.php
var bulkScript string

const (
	// maxRestarts bounds how often a process of bulk is started again behind a file that ended it.
	maxRestarts = 32
	// maxPerProcess bounds what one process compiles: what it has compiled stays in its memory, some 30 kB per file.
	maxPerProcess = 2000
)

// bulkSettings load OPcache without a php.ini and keep it from doing anything but compile: nothing is optimised,
// and nothing is stored in shared memory (files larger than 1 byte are not), so none of its limits is reached.
// PHP 8.5 has OPcache built in and warns about the first; nobody reads the warning.
var bulkSettings = []string{
	"-d", "zend_extension=opcache", "-d", "opcache.enable=1", "-d", "opcache.enable_cli=1",
	"-d", "opcache.max_file_size=1", "-d", "opcache.optimization_level=0", "-d", "opcache.jit=disable",
	"-d", "opcache.memory_consumption=8", "-d", "opcache.interned_strings_buffer=1", "-d", "memory_limit=512M",
}

// bulk compiles files in as few processes as it can, and marks those that fail in bad. It returns the files that it did
// not come to: all of them when this php has no OPcache.
func (l linter) bulk(ctx context.Context, files []string, bad map[string]bool) (rest []string, err error) {
	chunks := chunk(files, min(maxPerProcess, max(bulkFrom, (len(files)+l.parallel-1)/l.parallel)))
	type outcome struct{ suspects, rest []string }
	outcomes := make([]outcome, len(chunks))
	numbers := make([]string, len(chunks))
	for i := range chunks {
		numbers[i] = strconv.Itoa(i)
	}
	_, err = l.each(ctx, numbers, func(ctx context.Context, number string) (verdict, error) {
		i, _ := strconv.Atoi(number)
		outcomes[i].suspects, outcomes[i].rest = l.compile(ctx, chunks[i])
		return verdict{}, ctx.Err()
	})
	for _, o := range outcomes {
		for _, file := range o.suspects {
			bad[file] = true
		}
		rest = append(rest, o.rest...)
	}
	return rest, err
}

// compile runs processes one after the other: each goes on behind the file that ended the one before.
func (l linter) compile(ctx context.Context, files []string) (suspects, rest []string) {
	for range maxRestarts {
		if len(files) == 0 || ctx.Err() != nil {
			return suspects, nil
		}
		args := append(l.quickSettings(), bulkSettings...)
		cmd := l.php.command(ctx, []string{"-n"}, append(args, "-r", strings.TrimPrefix(bulkScript, "<?php"))...)
		cmd.Stdin = strings.NewReader(strings.Join(files, "\x00") + "\x00")
		var output bytes.Buffer
		cmd.Stdout = &output
		_ = l.php.run(cmd) // how it ended is in the output
		p := parseBulk(output.String(), len(files))
		for _, i := range p.bad {
			suspects = append(suspects, files[i])
		}
		if p.done {
			return suspects, nil
		}
		if p.next == 0 {
			return suspects, files
		}
		files = files[p.next:]
	}
	return suspects, files
}

// progress is how far a process of bulk came.
type progress struct {
	ready bool  // OPcache is there
	done  bool  // it came to the end
	bad   []int // numbers of the files that failed, the one that ended the process included
	next  int   // number of the first file that it did not come to
}

// parseBulk reads the output of bulk.php for count files. Lines that it does not know are php's own warnings.
func parseBulk(output string, count int) progress {
	p := progress{}
	last := -1
	for line := range strings.Lines(output) {
		word, whole := strings.CutSuffix(line, "\n")
		number, err := strconv.Atoi(word)
		switch {
		case !whole:
		case word == "ready":
			p.ready = true
		case word == "done":
			p.done = p.ready
		case word == "bad" && last >= 0:
			p.bad = appendNew(p.bad, last)
		case err == nil && p.ready && number == last+1 && number < count:
			last = number
		}
	}
	if p.ready && !p.done && last >= 0 {
		p.bad = appendNew(p.bad, last)
	}
	p.next = last + 1
	return p
}

func appendNew(numbers []int, number int) []int {
	if len(numbers) > 0 && numbers[len(numbers)-1] == number {
		return numbers
	}
	return append(numbers, number)
}

func chunk(files []string, size int) [][]string {
	var chunks [][]string
	for len(files) > size {
		chunks = append(chunks, files[:size])
		files = files[size:]
	}
	return append(chunks, files)
}
