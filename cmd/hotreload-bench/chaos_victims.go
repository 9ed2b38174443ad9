package main

import (
	"slices"
	"syscall"

	"github.com/hotreload/hotreload/signals"
)

// What may be killed.
const (
	victimRun     = "hotreload run"
	victimCommand = "the command"
	victimMaster  = "a master"
	victimManager = "a manager"
	victimWorker  = "a worker"
	noVictim      = "nothing"
)

var victims = []string{victimRun, victimCommand, victimMaster, victimManager, victimWorker}

// kill kills one of these, which pick chooses among several, and returns what was killed: noVictim when there was none.
func (c *chaos) kill(victim string, pick uint64, command *struck) string {
	var target signals.Process
	switch victim {
	case victimRun:
		if c.killService() != nil {
			return noVictim
		}
		return victim
	case victimCommand:
		target = command.identity
	default:
		group := c.servers(command)[victim]
		if len(group) == 0 {
			return noVictim
		}
		target = group[pick%uint64(len(group))]
	}
	if target.Signal(syscall.SIGKILL) != nil {
		return noVictim
	}
	return victim
}

// killService kills `hotreload run`.
func (s *chaosSite) killService() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = true // until the next one is started
	err := s.service.identity.Signal(syscall.SIGKILL)
	if err == nil {
		<-s.service.done
	}
	return err
}

// servers are the processes of all servers that there are at this moment, by what they are, in the order of their pids. What a command has
// started is none.
func (c *chaos) servers(command *struck) map[string][]signals.Process {
	infos := slices.DeleteFunc(c.processes(), func(i signals.Info) bool { return i.Comm != "php" })
	own, _ := signals.Tree(command.identity)
	infos = slices.DeleteFunc(infos, func(i signals.Info) bool {
		return slices.ContainsFunc(own, func(o signals.Info) bool { return o.Process == i.Process })
	})
	slices.SortFunc(infos, func(a, b signals.Info) int { return a.PID - b.PID })
	is := func(pid int) bool {
		return slices.ContainsFunc(infos, func(i signals.Info) bool { return i.PID == pid })
	}
	groups := map[string][]signals.Process{}
	for _, i := range infos {
		what := victimWorker
		switch {
		case !is(i.PPID):
			what = victimMaster
		case slices.ContainsFunc(infos, func(child signals.Info) bool { return child.PPID == i.PID }):
			what = victimManager
		}
		groups[what] = append(groups[what], i.Process)
	}
	return groups
}
