package php

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed hyperf_scan.php
var hyperfScanScript string

// Hyperf is an application made with Hyperf, and what is remembered of its scans.
//
// Hyperf serves a class that is annotated, or that an aspect is woven into, from a proxy: a copy that a scan of the whole application
// makes at every start. The annotations that the scan has collected stay in the master's memory. So an edit is served by new workers
// once its proxy was made anew, but only as long as what the annotations say is the same.
type Hyperf struct {
	PHP PHP
	// Dir is the application's directory. Symlinks in it are resolved at each scan.
	Dir string
	// State is a directory of ours, which is created: it holds what the running master has collected, and the class graph.
	State string
	// PIDFile is written anew by each master, and so tells them apart. "": the baseline is that of the last master.
	PIDFile string
}

// Scan is what a scan has found out.
type Scan struct {
	// Restart says why new workers of the running master would not serve the changes, "" when they will.
	Restart string
	// Problem is set when the scan failed: what is live was not touched.
	Problem *Problem
}

// ErrUnsupported says that this application cannot be scanned from outside: it starts in a way of its own, or its Hyperf is older
// than 3.1.
var ErrUnsupported = errors.New("cannot make this application's proxies")

// scanQuestion is what hyperf_scan.php is asked.
type scanQuestion struct {
	Do       string   `json:"do"` // reload, restart, baseline
	Base     string   `json:"base"`
	Files    []string `json:"files"` // null: not known
	Graph    string   `json:"graph"`
	Baseline string   `json:"baseline"`
}

// scanAnswer is what it answers.
type scanAnswer struct {
	Result  string   `json:"result"` // done, restart, failed, unsupported
	Message string   `json:"message"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Changed []string `json:"changed"` // what the annotations say differently
}

// ScanForReload makes the proxies of the changed files, and of the classes built on theirs, anew, unless the collected
// annotations differ from those of the running master, as [Hyperf.KeepBaseline] has noted them. nil files mean that it is not
// known what has changed. It takes some 50 ms for known files, and 150 ms and more when everything must be looked at.
func (h Hyperf) ScanForReload(ctx context.Context, files []string) (Scan, error) {
	if err := h.sureBaseline(ctx); err != nil {
		return Scan{}, err
	}
	return h.scan(ctx, "reload", files)
}

// ScanForRestart makes all proxies anew and collects all annotations, as a start would, without touching what is live if that fails.
// It takes as long as most of a start, and so is left out when no file is newer than the last scan.
func (h Hyperf) ScanForRestart(ctx context.Context, files []string) (Scan, error) {
	if len(files) == 0 && h.scanned() {
		return Scan{}, nil
	}
	return h.scan(ctx, "restart", files)
}

// KeepBaseline notes what the last scan has collected: call it when a master has been started.
func (h Hyperf) KeepBaseline(ctx context.Context) error {
	q, err := h.question("baseline", nil)
	if err != nil {
		return err
	}
	h.forgetOthers(q.Baseline)
	a, err := h.ask(ctx, q)
	if err == nil && a.Result != "done" {
		err = fmt.Errorf("note the collected annotations: %s", a.Message)
	}
	return err
}

// baseline is the name of the file with what the running master has collected.
func (h Hyperf) baseline() string {
	name := "baseline.json"
	if st, err := os.Stat(h.PIDFile); err == nil {
		name = fmt.Sprintf("baseline-%d.json", st.ModTime().UnixNano())
	}
	return filepath.Join(h.State, name)
}

// forgetOthers removes what was noted of earlier masters.
func (h Hyperf) forgetOthers(baseline string) {
	files, _ := filepath.Glob(filepath.Join(h.State, "baseline*.json"))
	for _, file := range files {
		if file != baseline {
			os.Remove(file) // else it stays: it is never read again
		}
	}
}

// sureBaseline notes what the master has collected if that was not done yet, and if nobody can have made a scan since: its own was
// finished before it wrote its pid file.
func (h Hyperf) sureBaseline(ctx context.Context) error {
	if _, err := os.Stat(h.baseline()); err == nil {
		return nil
	}
	pid, err := os.Stat(h.PIDFile)
	if err != nil {
		return nil // then it is not known, and the scan will say so
	}
	if scan, err := os.Stat(h.ScanFile()); err != nil || scan.ModTime().After(pid.ModTime()) {
		return nil
	}
	return h.KeepBaseline(ctx)
}

func (h Hyperf) scan(ctx context.Context, do string, files []string) (Scan, error) {
	if err := h.supported(); err != nil {
		return Scan{}, err
	}
	q, err := h.question(do, files)
	if err != nil {
		return Scan{}, err
	}
	a, err := h.ask(ctx, q)
	if err != nil {
		return Scan{}, err
	}
	switch a.Result {
	case "done":
		return Scan{}, nil
	case "restart":
		return Scan{Restart: a.restart()}, nil
	case "unsupported":
		return Scan{}, fmt.Errorf("%w: %s", ErrUnsupported, a.Message)
	}
	return Scan{Problem: &Problem{File: a.File, Line: a.Line, Message: a.Message}}, nil
}

// restart says in a few words what the master does not know yet.
func (a scanAnswer) restart() string {
	const named = 2
	switch n := len(a.Changed); {
	case n == 0:
		return a.Message
	case n <= named:
		return "the collected annotations changed: " + strings.Join(a.Changed, ", ")
	default:
		return fmt.Sprintf("the collected annotations changed: %s and %d more", strings.Join(a.Changed[:named], ", "), n-named)
	}
}

// ownStart finds a call of ClassLoader::init with arguments of the application's own: a directory or a scan handler.
var ownStart = regexp.MustCompile(`ClassLoader::init\(\s*[^)\s]`)

func (h Hyperf) supported() error {
	code, err := os.ReadFile(filepath.Join(h.Dir, "bin/hyperf.php"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if ownStart.Match(code) {
		return fmt.Errorf("%w: bin/hyperf.php gives ClassLoader::init arguments of its own", ErrUnsupported)
	}
	return nil
}

func (h Hyperf) question(do string, files []string) (scanQuestion, error) {
	base, err := filepath.EvalSymlinks(h.Dir)
	if err != nil {
		return scanQuestion{}, fmt.Errorf("scan %s: %w", h.Dir, err)
	}
	if err := os.MkdirAll(h.State, 0o700); err != nil {
		return scanQuestion{}, fmt.Errorf("scan %s: %w", h.Dir, err)
	}
	q := scanQuestion{Do: do, Base: base, Graph: filepath.Join(h.State, "classes.json"), Baseline: h.baseline()}
	for _, file := range files {
		q.Files = append(q.Files, resolved(file))
	}
	return q, nil
}

// resolved is the path by which php knows a file, which may be gone.
func resolved(file string) string {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		return real
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil {
		return filepath.Join(dir, filepath.Base(file))
	}
	return file
}

func (h Hyperf) ask(ctx context.Context, q scanQuestion) (scanAnswer, error) {
	question, err := json.Marshal(q)
	if err != nil {
		return scanAnswer{}, fmt.Errorf("scan %s: %w", q.Base, err)
	}
	p := h.PHP
	p.Dir = q.Base
	cmd := p.command(ctx, p.Args, "-d", "memory_limit=1G", "-d", "opcache.enable_cli=0", "-d", "xdebug.mode=off",
		"-r", strings.TrimPrefix(hyperfScanScript, "<?php"))
	cmd.Stdin = bytes.NewReader(question)
	var output, message bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &message
	ended := p.run(cmd)
	if ctx.Err() != nil {
		return scanAnswer{}, fmt.Errorf("scan %s: %w", q.Base, context.Cause(ctx))
	}
	_, answer, _ := strings.Cut(output.String(), "\x02")
	answer, _, _ = strings.Cut(answer, "\x03")
	var a scanAnswer
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		return scanAnswer{}, fmt.Errorf("scan %s: %v: %s", q.Base, ended, lastLine(append(message.Bytes(), output.Bytes()...)))
	}
	return a, nil
}

var (
	namespaceLine = regexp.MustCompile(`(?mi)^\s*(?:<\?php\s+)?namespace\s+([\w\\]+)\s*[;{]`)
	classLine     = regexp.MustCompile(`(?mi)^\s*(?:#\[[^\n]*\]\s*)?(?:(?:abstract|final|readonly)\s+)*(?:class|trait|interface|enum)\s+(\w+)`)
)

// ProxyOf is the file from which Hyperf loads the class of a source file if it has made a proxy of it; "" when the file has no
// class. (Hyperf\Di\Aop\ProxyManager::getProxyFilePath)
func (h Hyperf) ProxyOf(source string) string {
	code, err := os.ReadFile(source)
	if err != nil {
		return ""
	}
	namespace, class := namespaceLine.FindSubmatch(code), classLine.FindSubmatch(code)
	if namespace == nil || class == nil {
		return ""
	}
	name := strings.ReplaceAll(string(namespace[1]), `\`, "_") + "_" + string(class[1])
	return filepath.Join(h.ProxyDir(), name+".proxy.php")
}

// ProxyDir is where Hyperf keeps its proxies.
func (h Hyperf) ProxyDir() string { return filepath.Join(h.Dir, proxyDir) }

// scanned reports whether no code of the application, and nothing that Composer has installed, is newer than the last scan and each proxy.
// Times of change tell (ctime): those of modification come along with files that were moved or copied here.
func (h Hyperf) scanned() bool {
	dir, err := filepath.EvalSymlinks(h.Dir)
	if err != nil {
		return false
	}
	if runtime, err := filepath.EvalSymlinks(filepath.Join(dir, filepath.Dir(scanCache))); err != nil || !strings.HasPrefix(runtime, dir+"/") {
		return false // other releases use it, too
	}
	proxies, err := filepath.Glob(filepath.Join(dir, proxyDir, "*"))
	if err != nil {
		return false
	}
	oldest := time.Now()
	for _, path := range append(proxies, filepath.Join(dir, scanCache)) {
		st, err := os.Stat(path)
		if err != nil {
			return false
		}
		if st.ModTime().Before(oldest) {
			oldest = st.ModTime()
		}
	}
	older := func(path string) bool {
		var st unix.Stat_t
		return unix.Lstat(path, &st) == nil && time.Unix(st.Ctim.Unix()).Before(oldest)
	}
	if !older(filepath.Join(dir, "vendor/composer")) || !older(filepath.Join(dir, "vendor/composer/autoload_static.php")) {
		return false
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == dir:
			return nil // logs and the like come and go there
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") || filepath.Dir(path) == dir && slices.Contains(notScanned, entry.Name())):
			return fs.SkipDir
		case !older(path) && (entry.IsDir() || strings.HasSuffix(path, ".php") || strings.HasPrefix(entry.Name(), ".env")):
			return fs.ErrExist
		case entry.Type()&fs.ModeSymlink != 0:
			return fs.ErrInvalid // who knows what is behind it
		}
		return nil
	})
	return err == nil
}

// notScanned are directories of an application that have no code of its own.
var notScanned = []string{"runtime", "vendor", "node_modules", "public", "storage"}

// ScanFile is written by the child process that a starting Hyperf forks for its scan, and opened before that.
// (Hyperf\Di\ScanHandler\PcntlScanHandler, Hyperf\Di\Annotation\Scanner)
func (h Hyperf) ScanFile() string { return filepath.Join(h.Dir, scanCache) }
