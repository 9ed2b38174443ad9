package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/hotreload/hotreload/release"
	"github.com/hotreload/hotreload/signals"
)

// fault is something about a directory that commands cannot cope with.
type fault struct {
	name string
	// begin has it be so, and returns what ends it, and commands of another user if it is about one.
	begin func(*chaosSite) (end func() error, as *syscall.Credential, err error)
	// killed: hotreload itself can be killed and started again meanwhile.
	killed bool
}

var faults = []fault{
	{name: "no space on the disk", begin: func(s *chaosSite) (func() error, *syscall.Credential, error) {
		end, err := s.fill(make([]byte, 4096))
		return end, nil, err
	}, killed: true},
	{name: "no inodes on the disk", begin: func(s *chaosSite) (func() error, *syscall.Credential, error) {
		end, err := s.fill(nil)
		return end, nil, err
	}},
	{name: "everything is read-only", begin: func(s *chaosSite) (func() error, *syscall.Credential, error) {
		end, err := coverReadOnly(s.base)
		return end, nil, err
	}},
	{name: "nothing is permitted", begin: func(s *chaosSite) (func() error, *syscall.Credential, error) {
		const nobody = 65534
		return func() error { return nil }, &syscall.Credential{Uid: nobody, Gid: nobody}, nil
	}},
}

// fill makes files of this content until there is no room for another.
func (s *chaosSite) fill(content []byte) (end func() error, err error) {
	dir := filepath.Join(s.base, "filler")
	end = func() error { return os.RemoveAll(dir) }
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for i := range 100_000 {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), content, 0o644)
		if errors.Is(err, syscall.ENOSPC) {
			return end, nil
		}
		if err != nil {
			return nil, errors.Join(err, end())
		}
	}
	return nil, errors.Join(errors.New("the disk does not become full"), end())
}

// measureFaults: what cannot be done is refused, and what is live stays as it is.
func (b *bench) measureFaults(ctx context.Context) error {
	t := &table{
		title:  "Commands that cannot succeed, and what is live stays as it is",
		header: []string{"fault", "command", "it ended with", "and said"},
	}
	if os.Geteuid() != 0 {
		t.remark("Not done: only root may mount, and be somebody else.")
	}
	var err error
	for _, f := range faults {
		if err != nil || os.Geteuid() != 0 {
			break
		}
		if err = b.faulty(ctx, f, t); err != nil {
			err = fmt.Errorf("%s: %w", f.name, err)
		}
	}
	t.print(b.out)
	return err
}

// faulty tries all commands under a fault, on a disk of its own, and one that must succeed afterwards.
func (b *bench) faulty(ctx context.Context, f fault, t *table) (err error) {
	disk, err := os.MkdirTemp(b.temp, "disk-")
	if err != nil {
		return err
	}
	unmount, err := mountDisk(disk, "size=24m,nr_inodes=6000,mode=0755")
	if err != nil {
		t.row(f.name, "not done: "+err.Error())
		return nil
	}
	defer func() { err = errors.Join(err, unmount()) }()
	if err := os.Chmod(b.temp, 0o711); err != nil {
		return err
	}
	s, err := b.newChaosSite(ctx, disk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	program := filepath.Join(b.temp, "hotreload") // where others can run it
	if out, err := exec.Command("install", "-m", "755", s.hotreload, program).CombinedOutput(); err != nil {
		return fmt.Errorf("copy hotreload: %w: %s", err, out)
	}
	s.hotreload = program
	list, err := s.releases()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(r release.Release) bool { return r.Complete && !r.Current })
	if i < 0 {
		return errors.New("there is no other release")
	}
	other := list[i].Name
	if err := s.mustSucceed(ctx, "release", "activate", other); err != nil {
		return err
	}
	if err := s.mustSucceed(ctx, "release", "rollback"); err != nil { // so that there is something to go back to, and a failed one
		return err
	}
	if err := s.renew(); err != nil {
		return err
	}
	if err := s.underFault(ctx, f, other, t); err != nil {
		return err
	}
	// All is well again.
	if other, err = s.addRelease(); err != nil {
		return err
	}
	for _, args := range [][]string{{"release", "prune", "--keep=100"}, {"release", "activate", other}, {"deploy"}} {
		if err := s.mustSucceed(ctx, args...); err != nil {
			return fmt.Errorf("afterwards: %w", err)
		}
	}
	return nil
}

// mustSucceed runs a command, and checks everything after it.
func (s *chaosSite) mustSucceed(ctx context.Context, args ...string) error {
	out, err := s.cmd(args...).CombinedOutput()
	if err == nil {
		err = s.sound(ctx)
	}
	if err != nil {
		return fmt.Errorf("hotreload %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (s *chaosSite) underFault(ctx context.Context, f fault, other string, t *table) (err error) {
	before, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	end, as, err := f.begin(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	for _, args := range [][]string{{"release", "activate", other}, {"release", "rollback", other}, {"deploy"}, {"release", "prune", "--keep=1"}} {
		cmd := s.cmd(args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		out, err := cmd.CombinedOutput()
		said := strings.TrimSpace(string(out))
		t.row(f.name, strings.Join(args[:min(2, len(args))], " "), cmd.ProcessState.String(), strings.ReplaceAll(essence(said), s.base, "…"))
		var exit *exec.ExitError
		switch {
		case err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 0):
			return fmt.Errorf("hotreload %q: %w: %s", args, err, out)
		case err == nil && args[1%len(args)] != "prune": // which makes room
			return fmt.Errorf("hotreload %q succeeds: %s", args, out)
		case err != nil && said == "":
			return fmt.Errorf("hotreload %q says nothing", args)
		}
		after, err := s.snapshot(ctx)
		if err != nil {
			return fmt.Errorf("after hotreload %q: %w\n%s", args, err, out)
		}
		if after != before {
			return fmt.Errorf("hotreload %q changed what is live from %+v to %+v: %s", args, before, after, out)
		}
	}
	if !f.killed {
		return nil
	}
	if err := s.killService(); err != nil {
		return err
	}
	err = s.settle(ctx)
	after, snapErr := s.snapshot(ctx)
	if err = errors.Join(err, snapErr); err == nil && after != before {
		err = fmt.Errorf("what is live changed from %+v to %+v", before, after)
	}
	if err != nil {
		return fmt.Errorf("after a kill -9 of hotreload run: %w\n%s", err, endOf(s.log.Name()))
	}
	t.row(f.name, "kill -9 of run", "", "the next one took the server over")
	return nil
}

// essence is the line of a command's output that says why it failed, the last one when none does.
func essence(said string) string {
	lines := strings.Split(said, "\n")
	for _, line := range lines {
		if text, ok := strings.CutPrefix(line, "hotreload: "); ok {
			return text
		}
	}
	return lines[len(lines)-1]
}

// snapshot is all of what is live, in words that can be compared.
type snapshot struct {
	link, path string
	state      string
	workers    string // pids
	master     signals.Process
	version    string
}

func (s *chaosSite) snapshot(ctx context.Context) (snapshot, error) {
	link, err := os.Readlink(s.dir)
	if err != nil {
		return snapshot{}, err
	}
	st, err := s.status(ctx)
	if err != nil {
		return snapshot{}, err
	}
	if st.Master == nil || st.Release == nil {
		return snapshot{}, fmt.Errorf("no master: %+v", st)
	}
	master, err := signals.Lookup(st.Master.PID)
	if err != nil {
		return snapshot{}, err
	}
	var workers []int
	for _, w := range st.Workers {
		workers = append(workers, w.PID)
	}
	slices.Sort(workers)
	a, err := ask(ctx, "http://"+s.address+"/")
	return snapshot{link, st.Release.Path, string(st.State), fmt.Sprint(workers), master, a.version}, err
}
