package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// measureChaos kills things, and fills disks. Unlike the other sections it judges: the first thing that must be true and is not is its
// error.
func measureChaos(ctx context.Context, b *bench) error {
	if err := b.measureKills(ctx); err != nil {
		return err
	}
	return b.measureFaults(ctx)
}

func (b *bench) measureKills(ctx context.Context) error {
	seed := b.seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	fmt.Fprintf(b.out, "\nseed %d\n", seed)
	c, err := b.newChaos(ctx, seed)
	if err != nil {
		return err
	}
	err = c.run(ctx, b.scale.kills)
	c.table().print(b.out)
	return err
}

// chaos is what kills.
type chaos struct {
	*chaosSite
	seed   uint64
	random *rand.Rand // of the next kill
	watch  *watch
	usual  map[string]time.Duration // how long each command takes when nothing is killed
	kills  []kill
}

// kill is one of them.
type kill struct {
	command string
	victim  string
	after   time.Duration // since the command was started
	exit    string        // of the command
	serves  time.Duration // from the kill to an answer
	settled time.Duration // from the kill until what is current is served
	healed  string        // what the next command says of what was half done
	resumed bool          // the deploy was killed, and taken up again
}

func (b *bench) newChaos(ctx context.Context, seed uint64) (*chaos, error) {
	base, err := os.MkdirTemp(b.temp, "chaos-")
	if err != nil {
		return nil, err
	}
	s, err := b.newChaosSite(ctx, base)
	if err != nil {
		return nil, err
	}
	c := &chaos{chaosSite: s, seed: seed, usual: map[string]time.Duration{}}
	c.draw(0)
	return c, nil
}

// draw begins the choices for the n-th kill. They depend on the seed and nothing before, which may have gone another way.
func (c *chaos) draw(n int) { c.random = rand.New(rand.NewPCG(c.seed, uint64(n))) }

var chaosCommands = []string{"deploy", "activate", "rollback", "prune"}

// run makes n kills, and ends the site.
func (c *chaos) run(ctx context.Context, n int) error {
	c.watch = c.begin()
	err := c.calm(ctx)
	for i := 0; i < n && err == nil; i++ {
		c.draw(i + 1)
		if err = c.strike(ctx); err != nil && len(c.kills) > i {
			k := c.kills[i]
			err = fmt.Errorf("kill %d: %s, %v after the start of `%s` (which ended with %s): %w", i+1, k.victim, k.after.Round(time.Millisecond), k.command, k.exit, err)
		}
	}
	err = errors.Join(err, c.watch.end())
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, c.evidence())
	}
	return errors.Join(err, c.close())
}

// calm does each command once, and notes how long it takes.
func (c *chaos) calm(ctx context.Context) error {
	for _, name := range chaosCommands {
		args, err := c.prepare(name)
		if err != nil {
			return err
		}
		began := time.Now()
		out, err := c.cmd(args...).CombinedOutput()
		c.usual[name] = time.Since(began)
		if err != nil {
			return fmt.Errorf("%s, and nothing was killed: %w\n%s", name, err, out)
		}
		if err := c.sound(ctx); err != nil {
			return fmt.Errorf("after %s, and nothing was killed: %w\n%s", name, err, out)
		}
	}
	return nil
}

// prepare makes sure that a command has something to do, and returns its arguments.
func (c *chaos) prepare(name string) ([]string, error) {
	if name == "deploy" {
		return []string{"deploy"}, c.renew()
	}
	list, err := c.releases()
	if err != nil {
		return nil, err
	}
	var others []string
	previous := false
	for _, r := range list {
		if r.Complete && !r.Current {
			others = append(others, r.Name)
		}
		previous = previous || r.Previous
	}
	for len(others) < 2 || name == "prune" && len(others) < 4 {
		added, err := c.addRelease()
		if err != nil {
			return nil, err
		}
		others = append(others, added)
	}
	switch {
	case name == "prune":
		return []string{"release", "prune", "--keep=2"}, nil
	case name == "rollback" && previous:
		return []string{"release", "rollback"}, nil
	}
	slices.Sort(others)
	return []string{"release", name, others[c.random.IntN(len(others))]}, nil
}

// strike starts a command, kills something at a random moment, and checks what must be true.
func (c *chaos) strike(ctx context.Context) error {
	name := chaosCommands[c.random.IntN(len(chaosCommands))]
	args, err := c.prepare(name)
	if err != nil {
		return err
	}
	k := kill{command: strings.Join(args, " ")}
	victim := victims[c.random.IntN(len(victims))]
	pick, moment := c.random.Uint64(), time.Duration(c.random.Float64()*1.1*float64(c.usual[name]))
	command, err := c.start(args)
	if err != nil {
		return err
	}
	select {
	case <-time.After(moment):
	case <-ctx.Done():
	}
	k.after = time.Since(command.began)
	killed := time.Now()
	k.victim = c.kill(victim, pick, command)
	k.exit = command.wait(chaosPatience)
	c.kills = append(c.kills, k)
	last := &c.kills[len(c.kills)-1]
	if k.exit == "" {
		return fmt.Errorf("the command does not end within %v", chaosPatience)
	}
	if last.serves, err = c.watch.served(ctx, killed); err != nil {
		return fmt.Errorf("%w; the command said:\n%s", err, endOf(command.out))
	}
	if name == "deploy" && last.victim == victimCommand {
		if last.resumed, err = c.resume(); err != nil {
			return fmt.Errorf("%w; the command said:\n%s", err, endOf(command.out))
		}
	}
	// What was half done is seen to by the next one.
	out, err := c.cmd("release", "prune", "--keep=100").CombinedOutput()
	last.healed = strings.TrimSpace(string(out))
	if err != nil {
		return fmt.Errorf("the next command: %w: %s; the command said:\n%s", err, out, endOf(command.out))
	}
	if err := c.sound(ctx); err != nil {
		return fmt.Errorf("%w; the command said:\n%s\nthe next one said:\n%s", err, endOf(command.out), out)
	}
	last.settled = time.Since(killed)
	return ctx.Err()
}

// resume takes a deploy up that was killed, from any step on. It reports whether that could be done: it is refused when an earlier step
// is missing, or when the deploy had ended well.
func (c *chaos) resume() (bool, error) {
	const refused = 2 // exit code
	step := chaosSteps[c.random.IntN(len(chaosSteps))]
	out, err := c.cmd("deploy", "--start-from", step).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == refused {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("hotreload deploy --start-from %s: %w: %s", step, err, out)
	}
	return true, nil
}

// struck is a command that may be killed.
type struck struct {
	*process
	began time.Time
	out   string // the file with its output
}

func (c *chaos) start(args []string) (*struck, error) {
	out, err := os.Create(c.log.Name() + ".command")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := c.cmd(args...)
	cmd.Stdout, cmd.Stderr = out, out
	s := &struck{began: time.Now(), out: out.Name()}
	s.process, err = launch(cmd)
	return s, err
}

// endOf is the end of a file, for reports.
func endOf(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(text[max(0, len(text)-tailSize):]), "?")
}

// wait returns how the command ended, "" when it does not.
func (s *struck) wait(within time.Duration) string {
	select {
	case <-s.done:
		return s.cmd.ProcessState.String()
	case <-time.After(within):
		s.kill(nil)
		return ""
	}
}

// table says what was killed when, and what came of it.
func (c *chaos) table() *table {
	t := &table{
		title: fmt.Sprintf("`kill -9` during commands, %s", c.name),
		header: []string{"command", "victim", "kills", "0 to 1/3 of its usual time", "to 2/3", "later", "the command ended well", "failed", "was killed",
			"resumed", "half done, and seen to", "kill to an answer: max", "kill to all well: median", "max"},
	}
	type key struct{ command, victim string }
	rows := map[key][]kill{}
	for _, k := range c.kills {
		name := chaosNameOf(k.command)
		rows[key{name, k.victim}] = append(rows[key{name, k.victim}], k)
	}
	keys := slices.SortedFunc(maps.Keys(rows), func(a, b key) int {
		return strings.Compare(a.command+" "+a.victim, b.command+" "+b.victim)
	})
	for _, at := range keys {
		var thirds [3]int
		var serves, settled sample
		ended := map[string]int{}
		healed, resumed := 0, 0
		for _, k := range rows[at] {
			third := int(3 * k.after / max(1, c.usual[at.command]))
			thirds[min(third, 2)]++
			switch k.exit {
			case "exit status 0":
				ended["well"]++
			case "signal: killed":
				ended["killed"]++
			default:
				ended["failed"]++
			}
			if strings.Contains(k.healed, "killed") {
				healed++
			}
			if k.resumed {
				resumed++
			}
			serves, settled = append(serves, k.serves), append(settled, k.settled)
		}
		t.row(at.command, at.victim, fmt.Sprint(len(rows[at])), fmt.Sprint(thirds[0]), fmt.Sprint(thirds[1]), fmt.Sprint(thirds[2]),
			fmt.Sprint(ended["well"]), fmt.Sprint(ended["failed"]), fmt.Sprint(ended["killed"]), fmt.Sprint(resumed), fmt.Sprint(healed),
			millis(serves.max()), millis(settled.median()), millis(settled.max()))
	}
	if c.watch != nil {
		t.remark("%s", c.watch.summary())
	}
	t.remark("%d starts of `hotreload run`. Resumed: `deploy --start-from` any step; else it was refused. Half done, and seen to: the next command said so.", c.starts)
	return t
}

func chaosNameOf(command string) string {
	words := strings.Fields(command)
	if words[0] == "release" && len(words) > 1 {
		return words[1]
	}
	return words[0]
}

// evidence is all that helps to understand a broken promise.
func (c *chaos) evidence() string {
	var b strings.Builder
	show := func(what string, text []byte) { fmt.Fprintf(&b, "--- %s\n%s\n", what, text) }
	tree, _ := exec.Command("ls", "-lA", "--full-time", c.base, filepath.Join(c.base, "releases"), filepath.Join(c.base, ".hotreload")).CombinedOutput()
	show("files", tree)
	files, _ := filepath.Glob(filepath.Join(c.base, ".hotreload", "*.json"))
	for _, file := range append(files, c.socket()+".state") {
		text, _ := os.ReadFile(file)
		show(file, text)
	}
	status, _ := c.cmd("status", "--json").CombinedOutput()
	show("status", status)
	list, _ := c.cmd("release", "list").CombinedOutput()
	show("release list", list)
	show("processes", []byte(strings.Join(describeProcesses(c.processes()), "\n")))
	for i, k := range c.kills[max(0, len(c.kills)-5):] {
		fmt.Fprintf(&b, "kill %d: %+v\n", max(0, len(c.kills)-5)+i+1, k)
	}
	show("the end of what hotreload run said", []byte(endOf(c.log.Name())))
	return b.String()
}
