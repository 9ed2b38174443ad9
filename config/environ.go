package config

import (
	"slices"
	"strings"
)

const envPrefix = "HOTRELOAD_"

// Environment variables with a name of their own.
const (
	EnvConfig = "HOTRELOAD_CONFIG" // like -c
	EnvSocket = "HOTRELOAD_SOCKET" // like --socket: control.socket
)

// Environment variables that `hotreload deploy` sets for the commands of its
// steps. They are told, not read: a step may call hotreload.
const (
	EnvReleaseName = "HOTRELOAD_RELEASE_NAME"
	EnvReleasePath = "HOTRELOAD_RELEASE_PATH"
	EnvCurrent     = "HOTRELOAD_CURRENT"
	EnvSharedDir   = "HOTRELOAD_SHARED_DIR"
	EnvFailedStep  = "HOTRELOAD_FAILED_STEP" // for deploy.on_failure
)

// EnvName is the environment variable that overrides a key:
// "server.pid_file" is HOTRELOAD_SERVER_PID_FILE.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// environ is the HOTRELOAD_ part of the environment; the last of several
// equal names counts, as in os/exec.
func environ(list []string) (names []string, values map[string]string) {
	values = map[string]string{}
	for _, entry := range list {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || !strings.HasPrefix(name, envPrefix) {
			continue
		}
		values[name] = value
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, values
}

// fromEnv reads the environment. Names of an unknown shape belong to somebody
// else (a test, a wrapper) and are left alone; those that begin like a section
// are certainly meant for us.
func (l *loader) fromEnv() {
	names, values := environ(l.src.Environ)
	byName := map[string]*option{EnvSocket: findOption("control.socket")}
	var known []string
	for i, o := range table() {
		byName[EnvName(o.Key)] = &table()[i]
		known = append(known, EnvName(o.Key))
	}
	for _, name := range names {
		at := place{key: name}
		switch o := byName[name]; {
		case name == EnvConfig, name == EnvReleaseName, name == EnvReleasePath:
		case o != nil:
			raw, f := o.text(values[name])
			if f != nil {
				l.fail(at, f)
				continue
			}
			l.assign(o, raw, l.workDir, name, func(*fault) place { return at })
		case slices.Contains(sections(), envSection(name)):
			f := faultf("unknown variable")
			if near := nearest(name, known); near != "" {
				f.meaning(near)
			}
			l.fail(at, f)
		}
	}
}

// envSection is the "server" of HOTRELOAD_SERVER_KIND.
func envSection(name string) string {
	section, _, _ := strings.Cut(strings.TrimPrefix(name, envPrefix), "_")
	return strings.ToLower(section)
}
