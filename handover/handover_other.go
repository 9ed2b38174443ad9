//go:build !linux

package handover

// ShimMain and KeeperMain are for Linux.
func ShimMain() {}

// KeeperMain does nothing.
func KeeperMain() {}
