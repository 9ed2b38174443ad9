package release

import (
	"fmt"
	"strings"

	"github.com/prometheus/procfs"
)

// mountsIn returns where below dir, or on it, something is mounted; a mount of the same file system too, which the numbers of
// devices do not tell. dir is resolved.
func mountsIn(dir string) ([]string, error) {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	var in []string
	for _, m := range mounts {
		if at := unescaped.Replace(m.MountPoint); within(at, dir) {
			in = append(in, at)
		}
	}
	return in, nil
}

// unescaped undoes what the kernel does to paths in mountinfo (mangle in fs/proc_namespace.c).
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")
