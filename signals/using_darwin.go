package signals

// Using is not possible on macOS.
func Using([]string) (users map[string][]Info, hidden []Info, err error) {
	return nil, nil, notHere("find out which processes use a directory")
}
