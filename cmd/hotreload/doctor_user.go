package main

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
)

// userFacts decide whose processes the server's are, and whether hotreload may signal them.
type userFacts struct {
	root     bool   // hotreload runs as root
	me       string // its user
	changer  string // sudo, gosu, …: what starts the server as somebody else; "" when nothing does
	settings []userSetting
	blocked  []string // signals that hotreload was started with, blocked; the server inherits that
}

// userSetting is a user or a group to which the server's workers change.
type userSetting struct {
	file, what, value string
	known             bool // the system has it
}

// changers start a program as another user. The first few have the right to; the others work for root alone.
var changers = []string{"sudo", "doas", "su", "runuser", "gosu", "su-exec", "setpriv", "chpst", "setuidgid", "s6-setuidgid"}

func checkUser(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	f := userFacts{root: os.Geteuid() == 0, me: userName(os.Geteuid())}
	if p.mode == forAttach { // it starts nothing
		return judgeUser(f)
	}
	code, _ := p.code()
	f.settings = userSettings(cfg.Server.Kind, code)
	for i, s := range f.settings {
		f.settings[i].known = exists(s)
	}
	for _, word := range wrappers(cfg.Server.Command) {
		if name := filepath.Base(word); f.changer == "" && slices.Contains(changers, name) {
			f.changer = name
		}
	}
	server := cfg.Server.Signals
	for _, sig := range []syscall.Signal{server.Reload, server.ReloadTasks, server.Stop} {
		if sig != 0 && p.blocked.Has(sig) {
			f.blocked = append(f.blocked, signals.SignalName(sig))
		}
	}
	return judgeUser(f)
}

func judgeUser(f userFacts) []finding {
	var found []finding
	if len(f.blocked) > 0 {
		found = append(found, failure("whoever started hotreload has blocked %s, and the server inherits that: it never hears of a reload", strings.Join(f.blocked, ", ")).
			remedy("start hotreload from another shell or service manager"))
	}
	if f.changer != "" && !f.root {
		found = append(found, failure("%s starts the server as somebody else, whom %s may not signal: no reload, no stop", f.changer, f.me).
			remedy("start hotreload itself as that user, and the server without %s", f.changer))
	}
	for _, s := range f.settings {
		switch {
		case !s.known:
			found = append(found, warning("%s sets the workers' %s to %s, which does not exist: they run as %s", s.file, s.what, s.value, f.me).
				remedy("%s   # or take the setting out of %s", map[bool]string{true: "sudo groupadd -r " + s.value, false: "sudo useradd -r " + s.value}[s.what == "group"], s.file))
		case !f.root && s.what == "user" && s.value != f.me:
			found = append(found, warning("%s sets the workers' user to %s, and only root can change to it: they run as %s", s.file, s.value, f.me).
				remedy("sudo hotreload …   # or take the setting out of %s", s.file))
		}
	}
	if len(found) > 0 {
		return found
	}
	text := "hotreload runs as " + f.me
	for _, s := range f.settings {
		if s.what == "user" && s.value != f.me {
			text += ", the workers as " + s.value + " (" + s.file + "), whom root may signal"
		}
	}
	return []finding{fine("%s", text)}
}

var (
	// arraySetting is Swoole's, Hyperf's and webman's: 'user' => 'www-data'.
	arraySetting = regexp.MustCompile(`(?:['"](user|group)['"]|\bOPTION_(USER|GROUP))\s*=>\s*['"]([^'"]+)['"]`)
	// workermanSetting is Workerman's: $worker->user = 'www-data'.
	workermanSetting = regexp.MustCompile(`->(user|group)\s*=\s*['"]([^'"]+)['"]`)
	// swooleSet is where a script configures its server. Elsewhere, 'user' is a database's.
	swooleSet = regexp.MustCompile(`(?s)->set\s*\(.*?\)\s*;`)
)

// userSettings finds what the server's files set to a constant.
func userSettings(kind string, files []phpFile) []userSetting {
	var found []userSetting
	add := func(s userSetting) {
		if !slices.Contains(found, s) {
			found = append(found, s)
		}
	}
	for _, file := range files {
		code := file.code
		switch kind {
		case config.KindWorkerman:
			for _, m := range workermanSetting.FindAllStringSubmatch(code, -1) {
				add(userSetting{file: file.name, what: m[1], value: m[2]})
			}
			continue
		case config.KindSwoole:
			code = strings.Join(swooleSet.FindAllString(code, -1), "\n")
		case config.KindHyperf, config.KindWebman:
		default:
			continue
		}
		for _, m := range arraySetting.FindAllStringSubmatch(code, -1) {
			add(userSetting{file: file.name, what: strings.ToLower(m[1] + m[2]), value: m[3]})
		}
	}
	return found
}

func exists(s userSetting) bool {
	if s.what == "group" {
		_, err := user.LookupGroup(s.value)
		return err == nil
	}
	_, err := user.Lookup(s.value)
	return err == nil
}

// userName is the name of a user; the number where it has none.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
