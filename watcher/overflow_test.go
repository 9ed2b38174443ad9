package watcher

import "github.com/fsnotify/fsnotify"

var errOverflow = fsnotify.ErrEventOverflow
