// Package signals deals with other processes: which one a pid means, who
// descends from whom, what a pid file says, sending signals and waiting for the
// end, and the duties of a process that other processes are left to.
//
// Its one rule: a process is its pid and its start time ([Process]). A bare
// number is never signalled, because the kernel gives numbers away again, and a
// restarted container gives away the same small ones.
//
// Linux is complete. On macOS identity, tree, signals, waiting and pid files
// work; what the system does not tell (dispositions, wait channels, sockets of
// other processes, adopting orphans) returns an error that wraps
// [errors.ErrUnsupported].
package signals
