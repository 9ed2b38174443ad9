package php

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// FPMAddress is where a pool of php-fpm listens.
type FPMAddress struct {
	Network string // "unix" or "tcp"
	Addr    string // "/run/php/php8.2-fpm.sock", "127.0.0.1:9000"
}

// String is the address as ParseFPMAddress takes it: unix:/run/php-fpm.sock, 127.0.0.1:9000.
func (a FPMAddress) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Addr
	}
	return a.Addr
}

// ParseFPMAddress understands what php-fpm's own `listen` and the web servers' configurations hold: /path, unix:/path,
// unix:///path, NAME.sock, HOST:PORT, tcp://HOST:PORT, [IPV6]:PORT, and a PORT alone, of this machine. The error says what is wrong
// with it, and not with which address.
func ParseFPMAddress(text string) (FPMAddress, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return FPMAddress{}, errors.New("the path of the unix socket is missing")
		}
		return FPMAddress{"unix", path}, nil
	}
	target, ok := strings.CutPrefix(text, "tcp://")
	if scheme, _, has := strings.Cut(text, "://"); has && !ok {
		return FPMAddress{}, fmt.Errorf("php-fpm does not speak %s; say where it listens itself, not the web server", scheme)
	}
	if !ok && (strings.Contains(text, "/") || strings.HasSuffix(text, ".sock")) {
		return FPMAddress{"unix", text}, nil
	}
	return parseHostPort(target)
}

func parseHostPort(text string) (FPMAddress, error) {
	if isPort(text) {
		text = "127.0.0.1:" + text
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port) {
		return FPMAddress{}, errors.New("not HOST:PORT, and not the path of a unix socket")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return FPMAddress{"tcp", net.JoinHostPort(host, port)}, nil
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
