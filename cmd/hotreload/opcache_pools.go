package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/php"
	"github.com/hotreload/hotreload/signals"
)

// fpmPrograms are the names that php-fpm goes by: php-fpm, php-fpm8.2, php8.2-fpm.
var fpmPrograms = []string{"php-fpm*", "php*-fpm*"}

// poolsOf are the pools that are meant: those of --fastcgi, else those of the master in the pid file. Each has a place where
// it can read a script.
func poolsOf(c *cli.Context) ([]php.FPM, error) {
	place, err := chosenPlace(c)
	if err != nil {
		return nil, err
	}
	addresses, err := chosenAddresses(c)
	if err != nil {
		return nil, err
	}
	var master signals.Process // unknown where addresses were given
	if len(addresses) == 0 {
		if addresses, master, err = runningPools(c); err != nil {
			return nil, err
		}
	}
	var pools []php.FPM
	for _, a := range addresses {
		f := php.FPM{Address: a, Place: place}
		if !c.IsSet("temp-dir") {
			f.Place = placeSeenBy(a, master)
		}
		pools = append(pools, f)
	}
	return pools, nil
}

// chosenAddresses are those of --fastcgi, each once.
func chosenAddresses(c *cli.Context) ([]php.FPMAddress, error) {
	var addresses []php.FPMAddress
	for _, text := range c.StringSlice("fastcgi") {
		a, err := php.ParseFPMAddress(text)
		if err != nil {
			return nil, usageError("%s: --fastcgi %q: %w", c.Command.HelpName, text, err)
		}
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses, nil
}

// chosenPlace is what --temp-dir says: DIR, or DIR:AS with the name that php-fpm has for it.
func chosenPlace(c *cli.Context) (php.FPMPlace, error) {
	value := c.String("temp-dir")
	dir, as, found := strings.Cut(value, ":/")
	if found {
		as = "/" + as
	}
	if dir == "" && c.IsSet("temp-dir") {
		return php.FPMPlace{}, usageError("%s: --temp-dir %q names no directory", c.Command.HelpName, value)
	}
	return php.FPMPlace{Dir: dir, As: as}, nil
}

// runningPools is where the master that the configuration's pid file names listens.
func runningPools(c *cli.Context) ([]php.FPMAddress, signals.Process, error) {
	file, err := fpmPIDFile(c)
	if err != nil {
		return nil, signals.Process{}, err
	}
	j := signals.Judge(file, signals.Expectation{Programs: fpmPrograms})
	if j.Verdict != signals.Master {
		return nil, j.Master, noPools(fmt.Errorf("no php-fpm in %s: %s", file, j.Reason))
	}
	// The master has the sockets of all pools open.
	listeners, err := signals.Listeners([]signals.Process{j.Master})
	if err == nil && len(listeners) == 0 {
		err = errors.New("it has no listening sockets")
	}
	if err != nil {
		return nil, j.Master, noPools(fmt.Errorf("find out where php-fpm (master %d) listens: %w", j.PID, err))
	}
	var addresses []php.FPMAddress
	for _, l := range listeners {
		network := l.Network
		if network != "unix" {
			network = "tcp"
		}
		addresses = append(addresses, php.FPMAddress{Network: network, Addr: l.Addr})
	}
	return addresses, j.Master, nil
}

// fpmPIDFile is the pid file of the configuration or of --pid-file.
func fpmPIDFile(c *cli.Context) (string, error) {
	cfg, err := config.Load(source(c, "", identityFlags()))
	if err != nil {
		return "", err
	}
	kind := cfg.Server.Kind
	switch {
	case kind != config.KindPHPFPM && kind != config.KindNone && !c.IsSet("pid-file"):
		return "", coded(exitNobody, hinted(
			fmt.Errorf("this project is of kind %q (%s), whose OPcache nobody can reach from outside", kind, cfg.KindWhy),
			"`hotreload reload` and `hotreload restart` load new code; for a php-fpm beside it, say --fastcgi ADDRESS"))
	case cfg.Server.PIDFile == "", kind != config.KindPHPFPM && !c.IsSet("pid-file"):
		return "", noPools(errors.New("no php-fpm is known"))
	}
	return cfg.Server.PIDFile, nil
}

// noPools says what to give; sockets that lie where distributions put them are named.
func noPools(err error) error {
	example := "/run/php/php-fpm.sock"
	for _, pattern := range []string{"/run/php/php*.sock", "/run/php-fpm/*.sock", "/var/run/php*.sock", "/tmp/php*.sock"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			example = found[0]
			break
		}
	}
	return coded(exitNobody, hinted(err,
		"say where it listens, which is `listen` in the configuration of its pool, for example --fastcgi %s; or name its pid file with --pid-file", example))
}
