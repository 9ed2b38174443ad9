package watcher

// FileSystem names the file system that path lies on, and reports whether changes that are made elsewhere (on the host
// of a container, on another machine) send no events here: those are polled. The name of a local one, and of what cannot be
// looked at, may be "". It hangs where path does.
func FileSystem(path string) (name string, remote bool) { return fileSystem(path) }
