package watcher

import (
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// notices are what a user should know. Most of it would be said again with every look, and is worth saying once.
type notices struct {
	log  *zap.Logger
	said map[string]bool
}

func newNotices(log *zap.Logger) *notices { return &notices{log: log, said: map[string]bool{}} }

// first says whether nothing was said yet under this key.
func (n *notices) first(key string) bool {
	if n.said[key] || len(n.said) >= 1000 {
		return false
	}
	n.said[key] = true
	return true
}

func (n *notices) once(key, msg string, fields ...zap.Field) {
	if n.first(key) {
		n.log.Warn(msg, fields...)
	}
}

// limited says, once, that a limit of the kernel was met and how to raise it.
func (n *notices) limited(err error, poll PollMode) {
	what := "polling what cannot be watched"
	if poll == PollNever {
		what = "changes there are not noticed, because polling is off"
	}
	fields := []zap.Field{zap.Error(err)}
	if line := remedy(err); line != "" {
		fields = append(fields, zap.String("remedy", line))
	}
	n.once("limit", "watch limit reached, "+what, fields...)
}

// unwatchable says, once for all directories, why one of them cannot be watched.
func (n *notices) unwatchable(path string, err error, poll PollMode) {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		n.limited(err, poll)
	} else {
		n.once("watch", "directory cannot be watched", zap.String("path", path), zap.Error(err))
	}
}

// eventless says, once for a path, that what it lies on is polled.
func (n *notices) eventless(path, fileSystem string, interval time.Duration) {
	if n.first("file system of " + path) {
		n.log.Info("changes made elsewhere send no events on this file system, polling it",
			zap.String("path", path), zap.String("type", fileSystem), zap.Duration("interval", interval))
	}
}
