package handover

import (
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What a server does all day must not be stopped, and a bind of another architecture has other numbers.
func TestBindFilter(t *testing.T) {
	for _, unlinks := range []bool{false, true} {
		instructions, known := bindFilter(unlinks)
		if !known {
			t.Skip("no filter is known for " + runtime.GOARCH)
		}
		vm, err := bpf.NewVM(instructions)
		if err != nil {
			t.Fatal(err)
		}
		testFilter(t, vm, unlinks)
	}
}

func testFilter(t *testing.T, vm *bpf.VM, unlinks bool) {
	native := architectures[runtime.GOARCH]
	type call struct {
		name   string
		nr     uint32
		arch   uint32
		length uint32 // of the address
		want   uint32
	}
	calls := []call{
		{"bind IPv4", unix.SYS_BIND, native, unix.SizeofSockaddrInet4, retNotify},
		{"bind IPv6", unix.SYS_BIND, native, unix.SizeofSockaddrInet6, retNotify},
		{"bind unix", unix.SYS_BIND, native, unix.SizeofSockaddrUnix, retNotify},
		{"bind netlink", unix.SYS_BIND, native, unix.SizeofSockaddrNetlink, retAllow},
		{"bind packet", unix.SYS_BIND, native, unix.SizeofSockaddrLinklayer, retAllow},
		{"bind of another architecture", unix.SYS_BIND, unix.AUDIT_ARCH_I386, unix.SizeofSockaddrInet4, retAllow},
		{"read", unix.SYS_READ, native, unix.SizeofSockaddrInet4, retAllow},
		{"connect", unix.SYS_CONNECT, native, unix.SizeofSockaddrInet4, retAllow},
		{"listen", unix.SYS_LISTEN, native, unix.SizeofSockaddrInet4, retAllow},
		{"accept", unix.SYS_ACCEPT4, native, unix.SizeofSockaddrInet4, retAllow},
	}
	removed := uint32(retAllow)
	if unlinks {
		removed = retNotify
	}
	for _, nr := range unlinkCalls {
		calls = append(calls, call{"unlink", nr, native, 0, removed}, call{"unlink of another architecture", nr, unix.AUDIT_ARCH_I386, 0, retAllow})
	}
	for _, c := range calls {
		// The virtual machine reads as from a packet, in network order; the kernel reads the words of the structure as they are.
		data := make([]byte, 64)
		word := func(off int, v uint32) { binary.BigEndian.PutUint32(data[off:], v) }
		word(dataNR, c.nr)
		word(dataArch, c.arch)
		word(lengthArg, c.length)
		have, err := vm.Run(data)
		if err != nil || uint32(have) != c.want {
			t.Errorf("%s, unlinks %v: %#x, %v, want %#x", c.name, unlinks, have, err, c.want)
		}
	}
}
