package signals

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestListeners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with a  space.sock")
	want := []Listener{{Network: "unix", Addr: path}, {Network: "unix", Addr: "@signals test " + Self().String()}}
	open := func(network, addr string) {
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Skipf("%s: %v", network, err)
		}
		t.Cleanup(func() { l.Close() })
		if network != "unix" {
			want = append(want, Listener{Network: network, Addr: l.Addr().String()})
		}
	}
	open("unix", want[0].Addr)
	open("unix", want[1].Addr)
	open("tcp4", "127.0.0.1:0")
	open("tcp6", "[::1]:0")
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()

	stranger := startHelper(t, "sleep")
	gone := Process{PID: 1, Start: 1}
	got, err := Listeners([]Process{gone, stranger.Process, Self(), Self()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].Inode == 0 {
			t.Errorf("no inode: %+v", got[i])
		}
		got[i].Inode = 0
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("not found: %+v in %+v", l, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, err := Listeners([]Process{stranger.Process}); err != nil || got != nil {
		t.Errorf("of a process without sockets: got %+v, %v", got, err)
	}
	if got, err := Listeners(nil); err != nil || got != nil {
		t.Errorf("of nobody: got %+v, %v", got, err)
	}
}

// Both ways to the listening sockets tell the same.
func TestTCPListeners(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", ":0", "0.0.0.0:0", "[::ffff:127.0.0.1]:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Logf("%s: %v", at, err)
			continue
		}
		defer l.Close()
		asked, err := tcpListeners()
		if err != nil {
			t.Skip("no sock_diag here: " + err.Error())
		}
		read, err := Self().tableListeners()
		if err != nil {
			t.Fatal(err)
		}
		find := func(all []Listener) Listener { // ports are not given twice here
			_, port, _ := net.SplitHostPort(l.Addr().String())
			i := slices.IndexFunc(all, func(l Listener) bool { return strings.HasSuffix(l.Addr, ":"+port) })
			if i < 0 {
				return Listener{}
			}
			return all[i]
		}
		if one, other := find(asked), find(read); one != other || one.Addr != l.Addr().String() || one.Inode == 0 {
			t.Errorf("%s: sock_diag has %+v, the table has %+v", l.Addr(), one, other)
		}
	}
	if !Self().sharesNetwork() {
		t.Error("this process is not in its own network namespace")
	}
	if (Process{PID: maxPID}).sharesNetwork() {
		t.Error("a process that is not there is in this network namespace")
	}
}

func BenchmarkListening(b *testing.B) {
	for name, list := range map[string]func() ([]Listener, error){"sock_diag": tcpListeners, "table": Self().tableListeners} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := list(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

const netUnix = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 14 /run/short inode.sock
0000000000000000: 00000002 00000000 00010000 0001 01 123456 @abstract  two
0000000000000000: 00000002 00000000 00010000 0005 01 17777 /run/udev/control
0000000000000000: 00000003 00000000 00000000 0001 03 17778 /run/connected
0000000000000000: 00000003 00000000 00000000 0002 01 17779
0000000000000000: 00000002 00000000 00010000 0001 01   99 /padded
0000000000000000: 00000002 00000000 00010000 0001 01 17780 /new
line
0000000000000000: 00000002 00000000 00010000 0001 01 17781
`

func TestParseNetUnix(t *testing.T) {
	want := []Listener{
		{"unix", "/run/short inode.sock", 14},
		{"unix", "@abstract  two", 123456},
		{"unix", "/padded", 99},
		{"unix", "/new", 17780},
		{"unix", "", 17781},
	}
	if got := parseNetUnix([]byte(netUnix)); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func FuzzParseNetUnix(f *testing.F) {
	f.Add([]byte(netUnix))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, l := range parseNetUnix(data) {
			if l.Network != "unix" {
				t.Errorf("got %+v", l)
			}
		}
	})
}
