package main

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hotreload/hotreload/config"
)

// endpointsOf are the addresses that hotreload will wait for, or else those that the server's files name.
func endpointsOf(cfg *config.Config, code []phpFile, env []string) []endpoint {
	ready := cfg.Server.Ready
	switch ready.Scheme {
	case "tcp":
		return localEndpoint(ready.Target, "server.ready")
	case "http", "https":
		u, err := url.Parse(ready.Target)
		if err != nil {
			return nil
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[ready.Scheme]
		}
		return localEndpoint(net.JoinHostPort(u.Hostname(), port), "server.ready")
	case "unix", "exec":
		return nil
	}
	lookup := func(name string) (string, bool) { return appValue(cfg.Server.Dir, env, name) }
	if cfg.Server.Kind == config.KindOctane {
		return octaneEndpoint(cfg.Server.Command, lookup)
	}
	var found []endpoint
	for _, file := range code {
		for _, e := range endpointsIn(cfg.Server.Kind, file, lookup) {
			if !slices.ContainsFunc(found, func(o endpoint) bool { return o.host == e.host && o.port == e.port }) {
				found = append(found, e)
			}
		}
	}
	return found
}

// localEndpoint is the address unless it is another machine's.
func localEndpoint(address, from string) []endpoint {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsLoopback() && !ip.IsUnspecified() || err != nil && host != "localhost" && host != "" {
		return nil
	}
	return []endpoint{{host, n, from}}
}

var (
	// phpNumber is a number, or one from the environment: env('HTTP_PORT', 9501).
	phpNumber  = `(?:\(int\)\s*)?(?:(\d+)|\\?(?:[\w\\]+\\)?env\(\s*['"](\w+)['"]\s*,\s*(\d+)\s*\))`
	hyperfPort = regexp.MustCompile(`['"]port['"]\s*=>\s*` + phpNumber)
	hyperfHost = regexp.MustCompile(`['"]host['"]\s*=>\s*['"]([^'"]*)['"]`)
	// swooleServer is a constructor, or a further port: new Swoole\Http\Server('127.0.0.1', 9501), $server->listen(…).
	swooleServer = regexp.MustCompile(`(?i)(?:\bServer|->(?:listen|addlistener|addport))\s*\(\s*['"]([\w.:\[\]-]*)['"]\s*,\s*` + phpNumber)
	// workermanListen is a socket name: http://0.0.0.0:8787.
	workermanListen = regexp.MustCompile(`['"](\w+)://([^'"/]*):(\d+)['"]`)
	workermanServer = regexp.MustCompile(`(?s)\bWorker\s*\(\s*['"]\w+://[^'"]*['"]|['"]listen['"]\s*=>\s*['"]\w+://[^'"]*['"]`)
)

// endpointsIn reads the addresses from code that names them by constants.
func endpointsIn(kind string, file phpFile, lookup func(string) (string, bool)) []endpoint {
	var found []endpoint
	add := func(host, port string) {
		if n, err := strconv.Atoi(port); err == nil && n > 0 && n < 1<<16 {
			found = append(found, endpoint{host, n, file.name})
		}
	}
	number := func(m []string) string {
		if m[0] != "" {
			return m[0]
		}
		if v, ok := lookup(m[1]); ok {
			return v
		}
		return m[2]
	}
	switch kind {
	case config.KindHyperf:
		hosts := hyperfHost.FindAllStringSubmatch(file.code, -1)
		for i, m := range hyperfPort.FindAllStringSubmatch(file.code, -1) {
			host := ""
			if i < len(hosts) {
				host = hosts[i][1]
			}
			add(host, number(m[1:]))
		}
	case config.KindSwoole:
		for _, m := range swooleServer.FindAllStringSubmatch(file.code, -1) {
			add(m[1], number(m[2:]))
		}
	case config.KindWorkerman, config.KindWebman:
		for _, s := range workermanServer.FindAllString(file.code, -1) {
			if m := workermanListen.FindStringSubmatch(s); m != nil && !slices.Contains([]string{"udp", "unix"}, m[1]) {
				add(m[2], m[3])
			}
		}
	}
	return found
}

// octaneEndpoint is where octane:start listens: its options, or the environment, or port 8000.
func octaneEndpoint(command []string, lookup func(string) (string, bool)) []endpoint {
	value := func(option, variable, otherwise string) (string, string) {
		for i, arg := range command {
			if v, ok := strings.CutPrefix(arg, option+"="); ok {
				return v, "command"
			}
			if arg == option && i+1 < len(command) {
				return command[i+1], "command"
			}
		}
		if v, ok := lookup(variable); ok && v != "" {
			return v, variable
		}
		return otherwise, "Octane's default"
	}
	host, _ := value("--host", "OCTANE_HOST", "127.0.0.1")
	port, from := value("--port", "OCTANE_PORT", "8000")
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil
	}
	return []endpoint{{host, n, from}}
}
