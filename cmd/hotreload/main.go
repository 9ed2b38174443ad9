// Command hotreload keeps a PHP server that lives in memory up to date: it starts it, watches its files, reloads it, and says
// "reloaded" only with evidence.
//
// This package is the assembly: flags, files, signals and words. It joins packages that do not know each other, one file
// per command; whatever decides something lies in them.
package main

import (
	"context"
	"os"

	"github.com/hotreload/hotreload/handover"
	"github.com/hotreload/hotreload/release"
	"github.com/hotreload/hotreload/supervisor"
)

func main() {
	handover.ShimMain()
	handover.KeeperMain()
	release.GuardMain()
	if supervisor.RelayMain() {
		return
	}
	os.Exit(execute(context.Background(), os.Args))
}

// execute runs one command and returns the exit code of the program.
func execute(ctx context.Context, args []string) int {
	err := newApp().RunContext(ctx, args)
	complain(os.Stderr, err)
	return exitCode(err)
}
