package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// phpWithSwoole names the environment variable that names a php with the extension swoole.
const phpWithSwoole = "HOTRELOAD_BENCH_PHP"

// example is one of the example servers, and the php that runs it.
type example struct {
	name string
	php  string
}

// Their processes, whatever the machine.
const (
	workers     = 4
	taskWorkers = 2
)

// examplesHere are the servers that can run on this machine, and why others cannot.
func (b *bench) examplesHere(ctx context.Context) (here []example, why []string) {
	for _, e := range []example{{"prefork", "php"}, {"swoole", os.Getenv(phpWithSwoole)}} {
		if err := e.runs(ctx); err != nil {
			why = append(why, fmt.Sprintf("examples/%s: %v.", e.name, err))
			continue
		}
		here = append(here, e)
	}
	return here, why
}

func (e example) runs(ctx context.Context) error {
	if e.php == "" {
		return fmt.Errorf("not measured, %s names no php", phpWithSwoole)
	}
	out, err := exec.CommandContext(ctx, e.php, "-m").Output()
	if err != nil {
		return fmt.Errorf("not measured, %w", err)
	}
	for _, extension := range e.extensions() {
		if !slices.Contains(strings.Fields(string(out)), extension) {
			return fmt.Errorf("not measured, %s has no extension %s", e.php, extension)
		}
	}
	return nil
}

func (e example) extensions() []string {
	if e.name == "swoole" {
		return []string{"swoole"}
	}
	return []string{"pcntl", "posix"}
}

// phpSite is a project whose server is a real one.
type phpSite struct {
	*site
	handler string // the file that is saved
	text    string // its content, in version v1
}

// newPHPSite copies an example and gives it a free port.
func (b *bench) newPHPSite(e example, options ...string) (*phpSite, error) {
	s, err := b.newSite(e.name)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(s.watched); err != nil {
		return nil, err
	}
	if err := os.CopyFS(s.dir, os.DirFS(filepath.Join(b.examples, e.name))); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.kind = "swoole" // prefork has the same signals, and the same processes
	s.address = net.JoinHostPort("127.0.0.1", port)
	s.command = append([]string{e.php, filepath.Join(s.dir, "server.php"), "--port=" + port, "--pid-file=" + s.pidFile,
		fmt.Sprintf("--workers=%d", workers), fmt.Sprintf("--tasks=%d", taskWorkers)}, options...)
	p := &phpSite{site: s, handler: filepath.Join(s.watched, "handler.php")}
	text, err := os.ReadFile(p.handler)
	p.text = string(text)
	if err == nil && !strings.Contains(p.text, "'v1'") {
		err = fmt.Errorf("%s does not say 'v1'", p.handler)
	}
	return p, err
}

// save makes the handler say that it is this version, in one of the ways of saving.
func (p *phpSite) save(version int) (string, error) {
	name := "v" + strconv.Itoa(version)
	way := waysOfSaving[rand.IntN(len(waysOfSaving))]
	_, err := way.save(p.handler, strings.Replace(p.text, "'v1'", "'"+name+"'", 1))
	return name, err
}

// freePort returns a port that nobody listens on and that the kernel gives to no client: below the ephemeral ports.
func freePort() (string, error) {
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			return port, l.Close()
		}
	}
	return "", errors.New("no port is free")
}
