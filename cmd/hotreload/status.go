package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/supervisor"
)

// statusPatience bounds how long a hotreload may take to say how it is.
const statusPatience = 10 * time.Second

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "what runs: master, workers, last outcome",
		UsageText: "hotreload status [flags]",
		Flags: flagsOf(identityFlags(), jsonFlag(),
			&cli.BoolFlag{Name: "ready", Usage: "print nothing on stdout; exit 0 when requests may be sent to the server, else 1 and say why not"}),
		Action: status,
	}
}

func status(c *cli.Context) error {
	o, err := load(c)
	if err != nil {
		return err
	}
	st, err := askStatus(c.Context, o)
	switch {
	case c.Bool("ready") && err != nil: // whoever probes knows two answers
		return coded(exitFailed, err)
	case err != nil:
		return err
	case c.Bool("json"):
		err = json.NewEncoder(c.App.Writer).Encode(st)
	case !c.Bool("ready"):
		err = writeStatus(c.App.Writer, st, time.Now())
	}
	if err == nil && c.Bool("ready") && !st.Ready {
		return coded(exitFailed, fmt.Errorf("not ready: %s", cmp.Or(st.Reason, string(st.State))))
	}
	return err
}

func askStatus(ctx context.Context, o *operation) (supervisor.Status, error) {
	client, err := o.client()
	if err != nil {
		return supervisor.Status{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	st, err := client.Status(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return st, coded(exitNotVerified, hinted(fmt.Errorf("hotreload runs, but has not answered within %s", took(statusPatience)),
			"is its process stopped (Ctrl-Z), or the machine overloaded?"))
	}
	return st, err
}

// summary is a status in two or three lines.
func summary(st supervisor.Status) []string {
	first := fmt.Sprintf("%s; %s, generation %d", st.State, st.Kind, st.Generation)
	if st.Master != nil {
		first += fmt.Sprintf(", master %d, %s", st.Master.PID, count(serving(st.Workers), "worker"))
	}
	lines := []string{first}
	if st.Reason != "" {
		lines = append(lines, "because "+st.Reason)
	}
	if st.Owed != "" {
		lines = append(lines, "still to be loaded: "+st.Owed)
	}
	if st.Last != nil {
		lines = append(lines, "last: "+describe(*st.Last))
	}
	return lines
}

// serving is how many processes serve.
func serving(workers []supervisor.WorkerStatus) int {
	n := 0
	for _, w := range workers {
		if w.Role == supervisor.Worker || w.Role == supervisor.TaskWorker {
			n++
		}
	}
	return n
}

// writeStatus is a status for people.
func writeStatus(to io.Writer, st supervisor.Status, now time.Time) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	row("state", string(st.State))
	if st.Reason != "" {
		row("reason", st.Reason)
	}
	if st.Owed != "" {
		row("owed", st.Owed)
	}
	row("server", fmt.Sprintf("%s, %s, generation %d", st.Kind, st.Mode, st.Generation))
	if r := st.Release; r != nil {
		row("release", fmt.Sprintf("%s, in %s", r.Name, r.Path))
	}
	if st.Master != nil {
		row("master", fmt.Sprintf("%d, up %s", st.Master.PID, took(time.Duration(st.Master.UptimeS*float64(time.Second)))))
	}
	for _, p := range st.Workers {
		row(string(p.Role), fmt.Sprintf("%d, up %s, %s", p.PID, took(now.Sub(p.StartedAt)), megabytes(p.RSSBytes)))
	}
	if st.Watch != nil {
		watching := fmt.Sprintf("%s in %s, %s", count(st.Watch.Files, "file"), directories(st.Watch.Dirs), st.Watch.Backend)
		if st.Watch.PolledDirs > 0 {
			watching += fmt.Sprintf(", %d polled", st.Watch.PolledDirs)
		}
		if st.Watch.Preloaded != nil {
			watching += fmt.Sprintf(", %d loaded before the workers forked", *st.Watch.Preloaded)
		}
		row("watching", watching)
	}
	if h := st.Handover; h != nil {
		row("handover", strings.TrimSpace(strings.Join(append(append([]string{h.Method}, h.Listen...), h.Why), " ")))
	}
	if st.Last != nil {
		ended := st.Last.StartedAt.Add(st.Last.Duration())
		row("last", fmt.Sprintf("%s (%s ago)", describe(*st.Last), took(now.Sub(ended))))
	}
	n := st.Counters
	row("so far", fmt.Sprintf("%s, %s, %d refused, %d failed, %s", count(n.Reloads, "reload"), count(n.Restarts, "restart"), n.Refused, n.Failed,
		strings.Replace(count(n.Crashes, "crash"), "crashs", "crashes", 1)))
	return w.Flush()
}

func megabytes(bytes int64) string {
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}
