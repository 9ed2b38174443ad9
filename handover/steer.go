package handover

import (
	"net/netip"

	"golang.org/x/net/bpf"
)

// A program of SO_ATTACH_REUSEPORT_CBPF returns the index of the socket that gets a new connection: socket(7). It sees the packet
// with the SYN; offsets from netOff on count from its network header (SKF_NET_OFF in linux/filter.h).
const netOff = 0xffffffff - 0x100000 + 1

// toAll sends every new connection to one socket.
func toAll(index uint32) []bpf.Instruction {
	return []bpf.Instruction{bpf.RetConstant{Val: index}}
}

// withProbe sends the connection from one address and port to one socket, and all others to another. The packets have no IP options: they
// are ours, and come over loopback.
func withProbe(probe netip.AddrPort, to, others uint32) []bpf.Instruction {
	source, port := uint32(netOff+12), uint32(netOff+20)
	address := probe.Addr().AsSlice()
	version := uint32(4)
	if probe.Addr().Is6() {
		source, port = netOff+8, netOff+40
		version = 6
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: netOff, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
		unless(version),
		bpf.LoadAbsolute{Off: port, Size: 2},
		unless(uint32(probe.Port())),
	}
	for i := 0; i < len(address); i += 4 {
		word := uint32(address[i])<<24 | uint32(address[i+1])<<16 | uint32(address[i+2])<<8 | uint32(address[i+3])
		program = append(program, bpf.LoadAbsolute{Off: source + uint32(i), Size: 4}, unless(word))
	}
	program = append(program, bpf.RetConstant{Val: to}, bpf.RetConstant{Val: others})
	last := len(program) - 1
	for i, instruction := range program {
		if jump, ok := instruction.(bpf.JumpIf); ok {
			jump.SkipTrue = uint8(last - i - 1)
			program[i] = jump
		}
	}
	return program
}

// unless jumps to the end of the program where the accumulator differs; how far that is, is filled in later.
func unless(val uint32) bpf.JumpIf { return bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: val} }
