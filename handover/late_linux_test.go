package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lateEnv marks the child that has a network of its own.
const lateEnv = "HANDOVER_TEST_LATE"

// Clients whose handshake is half done at the switch. Over loopback that cannot be seen: there a handshake takes no time. So the test
// is the network: it writes the clients' packets itself, in a network namespace.
func TestLateHandshake(t *testing.T) {
	if os.Getenv(lateEnv) != "" {
		lateHandshake(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network namespace and a tun device")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestLateHandshake$", "-test.v")
	cmd.Env = append(os.Environ(), lateEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skip("no network namespace here: " + err.Error())
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
}

func lateHandshake(t *testing.T) {
	wire, err := newWire()
	if err != nil {
		t.Skip("no tun device here: " + err.Error())
	}
	t.Cleanup(func() { wire.file.Close() })
	const port, clients = 20000, 20
	at := fmt.Sprintf("0.0.0.0:%d", port)
	for _, test := range []struct {
		name string
		late time.Duration          // how long after the switch the clients go on; 0: when the old generation has ended
		end  func(first generation) // of the old generation, after the switch
		want string
	}{
		{"drained", 300 * time.Millisecond, func(first generation) {
			if d := first.drain(longLimit).wait(); d.Cut != 0 || d.Took >= longLimit {
				t.Errorf("%+v", d)
			}
			first.end()
		}, "gen 1"},
		// As it would be if a generation were done when nothing is established: this shows that the test can tell.
		{"nothing is established", 0, func(first generation) { first.end() }, "reset"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			first := w.begin(1).serve(at, "nonblock").take()
			second := w.begin(2).serve(at, "nonblock")
			all := make([]*rawClient, clients)
			for i := range all {
				all[i] = wire.client(port)
				all[i].syn()
			}
			for _, c := range all {
				if err := c.handshaken(); err != nil {
					t.Fatal(err)
				}
			}
			second.take()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				test.end(first)
			}()
			if test.late == 0 {
				<-ended
			} else {
				<-time.After(test.late)
			}
			for _, c := range all {
				c.finish("hello\n")
			}
			got := map[string]int{}
			for _, c := range all {
				got[c.outcome()]++
				c.fin()
			}
			if got[test.want] != clients {
				t.Errorf("%v, want %d times %s", got, clients, test.want)
			}
			<-ended
			if c := wire.client(port); c.whole("hello\n") != "gen 2" {
				t.Error("the new generation does not serve")
			}
		})
	}
}

// wire is a tun device, of which this process is the other end.
type wire struct {
	file *os.File
	last uint16 // client's port
	seen map[uint16][]packet
}

var (
	ourSide    = netip.MustParseAddr("10.9.0.2")
	serverSide = netip.MustParseAddr("10.9.0.1")
)

func newWire() (*wire, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq("wire0")
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return nil, err
	}
	w := &wire{file: os.NewFile(uintptr(fd), "tun"), last: 40000, seen: map[uint16][]packet{}}
	for name, address := range map[string]string{"lo": "", "wire0": serverSide.String() + "/24"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return nil, err
		}
		if address != "" {
			a, err := netlink.ParseAddr(address)
			if err != nil {
				return nil, err
			}
			if err := netlink.AddrAdd(link, a); err != nil {
				return nil, err
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return nil, err
		}
	}
	return w, nil
}

const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagPSH = 8
	flagACK = 16
)

// packet is a TCP segment from the server.
type packet struct {
	flags    byte
	seq, ack uint32
	data     string
}

// rawClient is a TCP client made by hand. It needs no retransmission: nothing is lost on this wire.
type rawClient struct {
	wire       *wire
	from, to   uint16
	seq, reply uint32
}

func (w *wire) client(port uint16) *rawClient {
	w.last++
	return &rawClient{wire: w, from: w.last, to: port, seq: 1000}
}

func (c *rawClient) send(flags byte, data string) {
	tcp := make([]byte, 20, 20+len(data))
	binary.BigEndian.PutUint16(tcp, c.from)
	binary.BigEndian.PutUint16(tcp[2:], c.to)
	binary.BigEndian.PutUint32(tcp[4:], c.seq)
	binary.BigEndian.PutUint32(tcp[8:], c.reply)
	tcp[12], tcp[13] = 5<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	tcp = append(tcp, data...)
	source, destination := ourSide.As4(), serverSide.As4()
	pseudo := append(append(source[:], destination[:]...), 0, unix.IPPROTO_TCP, byte(len(tcp)>>8), byte(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(tcp)))
	copy(ip[12:], source[:])
	copy(ip[16:], destination[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	_, _ = c.wire.file.Write(append(ip, tcp...)) // what is lost is seen to be missing
	c.seq += uint32(len(data))
	if flags&(flagSYN|flagFIN) != 0 {
		c.seq++
	}
}

func checksum(b []byte) uint16 {
	if len(b)%2 == 1 {
		b = append(b[:len(b):len(b)], 0)
	}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// receive is the client's next packet.
func (c *rawClient) receive() (packet, error) {
	if err := c.wire.file.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return packet{}, err
	}
	for len(c.wire.seen[c.from]) == 0 {
		b := make([]byte, 4096)
		n, err := c.wire.file.Read(b)
		if err != nil {
			return packet{}, err
		}
		if n < 40 || b[0]>>4 != 4 || b[9] != unix.IPPROTO_TCP {
			continue
		}
		tcp := b[int(b[0]&15)*4 : n]
		p := packet{tcp[13], binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:]), string(tcp[int(tcp[12]>>4)*4:])}
		to := binary.BigEndian.Uint16(tcp[2:])
		c.wire.seen[to] = append(c.wire.seen[to], p)
	}
	p := c.wire.seen[c.from][0]
	c.wire.seen[c.from] = c.wire.seen[c.from][1:]
	return p, nil
}

func (c *rawClient) syn() { c.send(flagSYN, "") }

// handshaken waits for the second step, and does not make the third.
func (c *rawClient) handshaken() error {
	p, err := c.receive()
	if err != nil {
		return err
	}
	if p.flags != flagSYN|flagACK {
		return fmt.Errorf("no SYN-ACK, but flags %#x", p.flags)
	}
	c.reply = p.seq + 1
	return nil
}

// finish makes the third step, and the request.
func (c *rawClient) finish(request string) {
	c.send(flagACK, "")
	c.send(flagACK|flagPSH, request)
}

// outcome is the first two words of the answer, or what came instead.
func (c *rawClient) outcome() string {
	for {
		p, err := c.receive()
		switch {
		case err != nil:
			return "silence"
		case p.flags&flagRST != 0:
			return "reset"
		case p.data != "":
			c.reply = p.seq + uint32(len(p.data))
			words := strings.Fields(p.data)
			return strings.Join(words[:min(2, len(words))], " ")
		case p.flags&flagFIN != 0:
			return "closed"
		}
	}
}

// fin ends the connection from the client's side.
func (c *rawClient) fin() { c.send(flagACK|flagFIN, "") }

func (c *rawClient) whole(request string) string {
	c.syn()
	if err := c.handshaken(); err != nil {
		return err.Error()
	}
	c.finish(request)
	said := c.outcome()
	c.fin()
	return said
}
