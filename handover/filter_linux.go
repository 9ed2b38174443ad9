package handover

import (
	"runtime"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// struct seccomp_data, which the filter sees: linux/seccomp.h.
const (
	dataNR     = 0
	dataArch   = 4
	dataArgs   = 16
	lengthArg  = dataArgs + 2*8 // of bind(fd, address, length); its lower half on a little-endian machine
	retAllow   = 0x7fff0000
	retNotify  = 0x7fc00000
	netlinkLen = unix.SizeofSockaddrNetlink
	packetLen  = unix.SizeofSockaddrLinklayer
)

// audit architectures of linux/audit.h for which the offsets above hold.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "riscv64": unix.AUDIT_ARCH_RISCV64}

// bindFilter stops at bind(2) of the native architecture, and lets everything else through. The length of the address is looked at
// first, so that netlink and packet sockets, of which a process may bind many, are never stopped. With unlinks it also stops where a
// path is removed.
func bindFilter(unlinks bool) ([]bpf.Instruction, bool) {
	arch, known := architectures[runtime.GOARCH]
	var more []bpf.Instruction
	if unlinks {
		for i, call := range unlinkCalls {
			notify := uint8(len(unlinkCalls) - i + 3) // past the others, and past what is below
			more = append(more, bpf.JumpIf{Cond: bpf.JumpEqual, Val: call, SkipTrue: notify})
		}
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: arch, SkipTrue: uint8(len(more) + 6)},
		bpf.LoadAbsolute{Off: dataNR, Size: 4},
	}
	program = append(program, more...)
	return append(program,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_BIND, SkipTrue: 4},
		bpf.LoadAbsolute{Off: lengthArg, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: netlinkLen, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packetLen, SkipTrue: 1},
		bpf.RetConstant{Val: retNotify},
		bpf.RetConstant{Val: retAllow},
	), known
}
