package main

import (
	"context"
	"errors"

	"github.com/hotreload/hotreload/php"
)

// opcacheRemedies say what each reason means for the exit code, and what to do. The first that fits counts.
var opcacheRemedies = []struct {
	reason error
	code   int
	hint   string
}{
	{php.ErrOPcacheUnverified, exitNotVerified, "a request that runs long keeps it waiting; until then each request compiles what it needs, and after " +
		"opcache.force_restart_timeout (180 s by default) OPcache kills the worker that runs long; what always works is `hotreload reload` " +
		"(SIGUSR2 to the master of php-fpm)"},
	{php.ErrFPMGone, exitNobody, "is php-fpm running? `listen` in the configuration of its pool says where"},
	{php.ErrFPMLate, exitNotVerified, "are all its workers busy (pm.max_children), or stopped? its status page and its log say so"},
	{php.ErrFPMUnseen, exitFailed, "where php-fpm has a root (chroot), a /tmp (PrivateTmp of systemd) or files (a container, open_basedir) of its own, " +
		"name a directory that its user can enter, too: --temp-dir DIR, or --temp-dir DIR:AS where php-fpm calls it AS"},
	{php.ErrFPMDenied, exitFailed, "security.limit_extensions of the pool must have .php, and its user must be able to read the file (permissions, SELinux): " +
		"another directory is named with --temp-dir DIR"},
	{php.ErrFPMBroken, exitFailed, "the log of php-fpm says why: a worker that died, or listen.allowed_clients without this machine"},
	{php.ErrNotFastCGI, exitFailed, "is that php-fpm, and not a web server?"},
	{php.ErrOPcacheThreadSafe, exitRefused, "the cache is as it was; `hotreload reload` loads new code without that danger"},
	{php.ErrOPcacheForbidden, exitFailed, "with opcache.restrict_api=PATH only scripts below PATH may: --temp-dir PATH. Without any of that, " +
		"`hotreload reload` starts with an empty cache"},
	{php.ErrOPcacheOff, exitFailed, "there is nothing to empty: each request compiles what it needs"},
	{php.ErrFPMScript, exitFailed, "name a directory that hotreload can write to and php-fpm can read: --temp-dir DIR"},
	{php.ErrFPMLocked, exitFailed, "run it as root, or as the user that `listen.owner` of the pool names"},
}

// remedied adds to an error what it means and what to do about it.
func remedied(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return coded(exitFailed, errors.New("interrupted; what php-fpm was already told it does"))
	}
	for _, r := range opcacheRemedies {
		if errors.Is(err, r.reason) {
			return coded(r.code, hinted(err, "%s", r.hint))
		}
	}
	return coded(exitFailed, err)
}

// remedyIn is what to do about an error.
func remedyIn(err error) []string {
	var h *hintedError
	if errors.As(err, &h) {
		return []string{h.hint}
	}
	return nil
}
