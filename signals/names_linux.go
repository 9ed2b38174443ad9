package signals

const lastSignal = 64 // SIGRTMAX
