package supervisor

import (
	"slices"
	"strings"
	"syscall"

	"github.com/hotreload/hotreload/signals"
)

// Role is what a process of the tree does.
type Role string

// The roles.
const (
	Master      Role = "master"
	Manager     Role = "manager"
	Worker      Role = "worker"
	TaskWorker  Role = "task-worker"
	UserProcess Role = "user-process" // never replaced by a reload
	Helper      Role = "helper"       // a command that a worker runs, or a process that has not yet become what it will be
)

// serves reports whether processes with this role run the code that a reload replaces.
func (r Role) serves() bool { return r == Worker || r == TaskWorker }

// Layout says how a kind of server arranges its processes and how they are told apart from outside.
type Layout int

// The layouts.
const (
	// LayoutSingle is any program: nothing is known of its children, nothing can be reloaded.
	LayoutSingle Layout = iota
	// LayoutForked is a master whose children, or whose manager's children, are all workers.
	LayoutForked
	// LayoutSwoole is Swoole's: master, manager (in PROCESS mode), event workers, task workers, user processes.
	LayoutSwoole
	// LayoutWorkerman is a master whose children are all workers, some of which may refuse to be reloaded.
	LayoutWorkerman
)

// KindNone is the kind of a program of which nothing is known.
const KindNone = "none"

// proc is what one look at a process tells.
type proc struct {
	signals.Info
	masks signals.Masks
	title string // the command line, read for Workerman only
	exe   string // the executable, read for LayoutForked only; "" when unknown
	grown bool   // it is older than a fork needs to become what it will be; looked at for LayoutSwoole only
}

// forkOf reports whether p may be a fork of parent, and not a command that parent runs.
func (p proc) forkOf(parent proc) bool { return p.exe == parent.exe || p.exe == "" || parent.exe == "" }

// zendSignals are caught by PHP itself from its start (ZEND_SIGNALS, Zend/zend_signal.c: zend_sigs), whether or not the
// script has installed a handler: alone they say nothing, and SIGUSR1 still ends such a process.
var zendSignals = signals.NewSet(syscall.SIGPROF, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT,
	syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)

// handles reports whether p, a PHP process, is prepared for sig by its script or extension, as far as it can be told from
// outside. Either sig is blocked together with SIGPIPE, as Swoole does to read them from a signalfd (a script that blocks
// signals around a fork leaves SIGPIPE alone), or it is caught together with one that PHP does not catch on its own.
func (p proc) handles(sig syscall.Signal) bool {
	if p.masks.Blocked.Has(sig) && p.masks.Blocked.Has(syscall.SIGPIPE) {
		return true
	}
	if !p.masks.Caught.Has(sig) {
		return false
	}
	return !zendSignals.Has(sig) || p.masks.Caught&^zendSignals != 0
}

// ignores reports whether sig would be lost on p.
func (p proc) ignores(sig syscall.Signal) bool { return p.masks.Ignored.Has(sig) }

// classify gives each process of a tree its role. The first is the master; parents come before their
// children. It is a pure function.
//
// Swoole's processes show what they are by their signals (main thread, /proc/PID/status; the same in 5.1 and 6.2,
// PROCESS and BASE): the manager catches SIGCHLD or SIGALRM and SIGIO; an event worker blocks SIGPIPE beside SIGTERM
// and reads them from a signalfd; a task worker catches SIGPIPE; a user process has only what PHP catches anyway.
// All this is so before onWorkerStart is called.
func classify(layout Layout, tree []proc) []Role {
	roles := make([]Role, len(tree))
	index := make(map[int]int, len(tree))
	forked := make([]int, len(tree)) // children that could be forks of the parent
	for i, p := range tree {
		index[p.PID] = i
		roles[i] = Helper
		if parent, ok := index[p.PPID]; ok && i > 0 && p.forkOf(tree[parent]) {
			forked[parent]++
		}
	}
	if len(tree) == 0 {
		return roles
	}
	roles[0] = Master
	if layout == LayoutSingle {
		return roles
	}
	boss := 0 // whose children are the workers
	if m := managerOf(layout, tree, forked); m > 0 {
		boss = m
		roles[m] = Manager
	}
	for i := 1; i < len(tree); i++ {
		if i != boss && tree[i].PPID == tree[boss].PID && tree[i].forkOf(tree[boss]) {
			roles[i] = childRole(layout, tree[i])
		}
	}
	return roles
}

// managerOf finds the only child of the master that is a parent itself, or that will be: -1 when there is none.
func managerOf(layout Layout, tree []proc, forked []int) int {
	if layout == LayoutWorkerman {
		return -1
	}
	only := -1
	for i := 1; i < len(tree); i++ {
		if tree[i].PPID != tree[0].PID {
			continue
		}
		if only > 0 {
			return -1
		}
		only = i
	}
	switch {
	case only < 0:
		return -1
	case layout == LayoutSwoole && isManager(tree[only]):
		return only
	case layout == LayoutForked && forked[only] > 0:
		return only
	default:
		return -1
	}
}

func isManager(p proc) bool {
	c := p.masks.Caught
	return c.Has(syscall.SIGCHLD) || (c.Has(syscall.SIGALRM) && c.Has(syscall.SIGIO))
}

func childRole(layout Layout, p proc) Role {
	switch layout {
	case LayoutSwoole:
		switch {
		case p.masks.Blocked.Has(syscall.SIGPIPE):
			return Worker
		case p.masks.Caught.Has(syscall.SIGPIPE):
			return TaskWorker
		case isManager(p) && !p.grown:
			return Helper // just forked: still the manager's handlers
		default:
			return UserProcess
		}
	case LayoutWorkerman:
		if strings.HasPrefix(p.title, "WorkerMan: worker process  monitor ") {
			return UserProcess
		}
		return Worker
	default:
		return Worker
	}
}

// idleIn are the kernel functions (/proc/PID/wchan) in which a process waits for connections, events or jobs. A
// process that sleeps (hrtimer_nanosleep) or runs is not known to have finished its start.
var idleIn = []string{
	"ep_poll", "do_epoll_wait", "poll_schedule_timeout", "do_select", "do_poll", "do_sys_poll",
	"inet_csk_accept", "inet_accept", "__skb_wait_for_more_packets", "unix_wait_for_peer", "do_sigtimedwait",
	"msg_recv", "do_msgrcv",
}

// idlesIn reports whether p waits for work in wchan. Swoole's event workers, which block SIGRTMIN too, do that in epoll
// alone: one that is in poll waits for a database while it starts.
func (p proc) idlesIn(wchan string) bool {
	if p.masks.Blocked.Has(signals.SIGRTMIN) && !strings.Contains(wchan, "epoll") && !strings.HasPrefix(wchan, "ep_") {
		return false
	}
	return isIdle(wchan)
}

func isIdle(wchan string) bool {
	return slices.ContainsFunc(idleIn, func(f string) bool { return strings.HasPrefix(wchan, f) })
}
