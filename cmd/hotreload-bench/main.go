// Command hotreload-bench measures hotreload beside what people use instead, on this machine and in one run: the classic
// `inotifywait -m -r ... | while read; do kill -USR1 ...` loop, and entr. It prints Markdown tables and judges nothing: its
// exit code is 0 unless the measuring itself went wrong. Only the section chaos, which is run when it is named, judges: it ends with exit code
// 1 at the first thing that must be true and is not.
//
// What is measured runs against a target that writes down when it was signalled, or against a real PHP server. The target
// is this program, executed again. Whatever is started here is ended here, and everything is written below one temporary
// directory.
//
// The PHP servers are the examples: examples/prefork, and examples/swoole where HOTRELOAD_BENCH_PHP names a php with that
// extension. The frameworks are checkouts, with vendor, that HOTRELOAD_BENCH_HYPERF and HOTRELOAD_BENCH_WEBMAN name; they are
// copied first. Everything listens on 127.0.0.1 only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == roleOfTarget {
		os.Exit(targetMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := benchMain(ctx, os.Args[1:])
	stop()
	var usage *usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "hotreload-bench:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "hotreload-bench:", err)
		os.Exit(1)
	}
}

type usageError struct{ why string }

func (e *usageError) Error() string { return e.why }

// section is one thing to measure, and one table or more.
type section struct {
	name  string
	run   func(context.Context, *bench) error
	named bool // it is only run when it is named
}

var sections = []section{
	{name: "latency", run: measureLatency},
	{name: "tree", run: measureTree},
	{name: "burst", run: measureBurst},
	{name: "stale", run: measureStale},
	{name: "served", run: measureServed},
	{name: "frameworks", run: measureFrameworks},
	{name: "handover", run: measureHandover},
	{name: "releases", run: measureReleases},
	{name: "soak", run: measureSoak, named: true},
	{name: "chaos", run: measureChaos, named: true},
}

// bench is what all sections know.
type bench struct {
	hotreload string // absolute path of the program
	examples  string // absolute path of the examples
	self      string // absolute path of this program
	temp      string
	scale     scale
	seed      uint64 // of chaos; 0: any
	out       io.Writer
}

// scale is how much of everything is done.
type scale struct {
	saves       int // for each tool, each way of saving
	starts      int // of each tool on the big tree
	probes      int // files saved there
	dirs, files int // of the big tree; files are those in each directory
	idle        time.Duration
	burst       int           // files that are rewritten
	burstTime   time.Duration // of the slow burst
	edits       int           // random edits under hotreload
	otherEdits  int           // under the loop: enough to see what becomes of it
	served      int           // saves that are followed to the last worker
	framework   int           // the same, for each framework
	boots       int           // starts of a framework that they are spread over
	restarts    int           // saves that restart one
	switches    int           // of releases, for each server
	soak        time.Duration
	kills       int
	away        time.Duration // how long a server may be after a kill
}

func fullScale() scale {
	return scale{saves: 100, starts: 3, probes: 20, dirs: 10_000, files: 10, idle: 30 * time.Second,
		burst: 5_000, burstTime: 2 * time.Second, edits: 1_000, otherEdits: 200, served: 50,
		framework: 30, boots: 3, restarts: 10, switches: 50, soak: 30 * time.Minute, kills: 200, away: 10 * time.Second}
}

func quickScale() scale {
	return scale{saves: 10, starts: 1, probes: 10, dirs: 1_000, files: 10, idle: 3 * time.Second,
		burst: 1_000, burstTime: time.Second, edits: 40, otherEdits: 20, served: 10,
		framework: 5, boots: 1, restarts: 3, switches: 5, soak: time.Minute, kills: 20, away: 10 * time.Second}
}

func benchMain(ctx context.Context, args []string) error {
	b := &bench{out: os.Stdout, scale: fullScale()}
	flags := flag.NewFlagSet("hotreload-bench", flag.ContinueOnError)
	flags.StringVar(&b.hotreload, "hotreload", "bin/hotreload", "the `PROGRAM` to measure")
	flags.StringVar(&b.examples, "examples", "examples", "the `DIRECTORY` of the example servers")
	quick := flags.Bool("quick", false, "much less of everything: under two minutes")
	edits := flags.Int("edits", 0, "how many random edits the stale rounds make (default 1000, with -quick 40)")
	soak := flags.Duration("time", 0, "how long the soak lasts (default 30m, with -quick 1m)")
	kills := flags.Int("n", 0, "how many kills chaos makes (default 200, with -quick 20)")
	flags.Uint64Var(&b.seed, "seed", 0, "repeat the chaos that printed this `SEED`")
	only := flags.String("only", "", "a comma-separated `LIST` of sections: "+strings.Join(sectionNames(), ", "))
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return &usageError{err.Error()}
	}
	if flags.NArg() > 0 {
		return &usageError{fmt.Sprintf("unexpected argument %q", flags.Arg(0))}
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if *quick {
		b.scale = quickScale()
	}
	if *edits > 0 {
		b.scale.edits = *edits
	}
	if *kills > 0 {
		b.scale.kills = *kills
	}
	if *soak > 0 {
		b.scale.soak = *soak
	}
	if err := b.locate(); err != nil {
		return err
	}
	defer os.RemoveAll(b.temp)
	return b.run(ctx, chosen)
}

// locate finds the programs and makes the temporary directory.
func (b *bench) locate() (err error) {
	if b.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find myself: %w", err)
	}
	for _, path := range []*string{&b.hotreload, &b.examples} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if _, err := exec.LookPath(b.hotreload); err != nil {
		return fmt.Errorf("%w (make build)", err)
	}
	if b.temp, err = os.MkdirTemp("", "hotreload-bench-"); err != nil {
		return err
	}
	b.temp, err = filepath.EvalSymlinks(b.temp)
	return err
}

func (b *bench) run(ctx context.Context, chosen []section) error {
	b.printMachine(ctx)
	for _, s := range chosen {
		began := time.Now()
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(b.out, "\n(%s took %.0f s)\n", s.name, time.Since(began).Seconds())
	}
	return nil
}

func sectionNames() []string {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

// choose returns the named sections, in the order in which they are always run; when none is named, all that need not be.
func choose(list string) ([]section, error) {
	if list == "" {
		return slices.DeleteFunc(slices.Clone(sections), func(s section) bool { return s.named }), nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(sectionNames(), name) {
			return nil, &usageError{fmt.Sprintf("unknown section %q; there are %s", name, strings.Join(sectionNames(), ", "))}
		}
	}
	return slices.DeleteFunc(slices.Clone(sections), func(s section) bool { return !slices.Contains(names, s.name) }), nil
}
