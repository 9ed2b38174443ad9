package main

import (
	"github.com/hotreload/hotreload/php"
	"github.com/hotreload/hotreload/signals"
)

// placeSeenBy: nothing is known of other processes' files on macOS.
func placeSeenBy(php.FPMAddress, signals.Process) php.FPMPlace { return php.FPMPlace{} }
