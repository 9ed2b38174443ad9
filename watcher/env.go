package watcher

import (
	"time"

	"github.com/fsnotify/fsnotify"
)

// env is the kernel as the watcher sees it, and the times that tests shorten. Only tests replace anything.
type env struct {
	newNotifier func() (*fsnotify.Watcher, error)
	add         func(w *fsnotify.Watcher, path string) error
	// events is where the events of w are read from.
	events func(w *fsnotify.Watcher) <-chan fsnotify.Event
	// budget is how many files may be held open for watching; 0: watching takes none.
	budget int64
	open   func(path string, flags int) (fd int, err error)
	// fileSystem names the file system that path is on, and says whether changes made elsewhere send no events.
	fileSystem func(path string) (name string, remote bool)

	// comeBack is how long a file that is empty or gone is given to get its content.
	comeBack time.Duration
	// holdLimit bounds the waiting for hold files and for composer.
	holdLimit time.Duration
	// holdCheck is the pause between two looks at a hold file.
	holdCheck time.Duration
	// patrol is the pause between two steps of the background scan; a step looks at patrolStep files.
	patrol     time.Duration
	patrolStep int
	// doubt is how long an event may take before a change found by the background scan counts as unannounced.
	doubt time.Duration

	// recheck is the pause between two looks at where a link leads when every change should have an event.
	recheck time.Duration
	// unsettled is the pause before the next look at a link whose way kept changing while it was looked at.
	unsettled time.Duration
	// gap is how long a link may lead nowhere before that is worth a notice.
	gap time.Duration
	// retry is the pause before the kernel is asked again for a watch that it refused.
	retry time.Duration
}

func realEnv() *env {
	return &env{
		newNotifier: fsnotify.NewWatcher,
		add:         (*fsnotify.Watcher).Add,
		events:      func(w *fsnotify.Watcher) <-chan fsnotify.Event { return w.Events },
		budget:      watchBudget(),
		open:        openForReading,
		fileSystem:  fileSystem,
		comeBack:    100 * time.Millisecond,
		holdLimit:   30 * time.Second,
		holdCheck:   20 * time.Millisecond,
		patrol:      10 * time.Second,
		patrolStep:  128,
		doubt:       2 * time.Second,
		recheck:     2 * time.Second,
		unsettled:   10 * time.Millisecond,
		gap:         time.Second,
		retry:       time.Minute,
	}
}
