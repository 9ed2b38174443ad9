// Package control is the door of a running hotreload: the unix socket through which the other commands talk to it, the
// lock that keeps a second hotreload away from the same project, and the file that lets the next one adopt the server if
// this one is killed. It renders what the supervisor says and decides nothing.
//
// All three lie beside each other at a [Place]. Where that is depends on the project alone ([Project]), so that a client
// finds the door from any directory inside it.
//
// Whoever may open the socket may do everything hotreload can: the file mode (0600) admits its owner and root, and there is no
// other check. The directories that hotreload makes for it belong to its user and admit nobody else.
package control
