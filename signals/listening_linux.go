package signals

import "fmt"

// Listening returns all listening TCP and unix stream sockets of this process's network namespace, whoever holds them.
// [Holders] tells who does.
func Listening() ([]Listener, error) {
	all, err := Self().namespaceListeners()
	if err != nil {
		return nil, fmt.Errorf("read listening sockets: %w", err)
	}
	return all, nil
}
