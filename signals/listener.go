package signals

// Listener is a listening stream socket.
type Listener struct {
	Network string // "tcp4", "tcp6" or "unix"
	Addr    string // "127.0.0.1:9501", "[::]:9501", "/run/x.sock", "@abstract"
	Inode   uint64 // identifies the socket, whoever holds it
}
