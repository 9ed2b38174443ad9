package watcher

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestMain lets more tests run side by side than there are processors: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = flag.Set("test.parallel", "8")
	}
	os.Exit(m.Run())
}

// testEnv is the real kernel, except that it is patient: other programs of the same user, and the kernel itself for a moment
// after a close, may have taken all inotify instances (fs.inotify.max_user_instances), and then everything would be polled.
func testEnv() *env {
	e := realEnv()
	e.newNotifier = func() (n *fsnotify.Watcher, err error) {
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if n, err = fsnotify.NewWatcher(); err == nil || time.Now().After(deadline) {
				return n, err
			}
		}
	}
	return e
}
