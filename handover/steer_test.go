package handover

import (
	"net/netip"
	"testing"
)

func TestGroupOrder(t *testing.T) {
	var g group
	for _, n := range []int{1, 2, 2, 3} {
		g.join(n)
	}
	index := func(n int, want uint32) {
		t.Helper()
		if i, ok := g.index(n); !ok || i != want {
			t.Errorf("%v: generation %d has index %d, %v, want %d", g, n, i, ok, want)
		}
	}
	index(1, 0)
	index(3, 2)
	g.leave(1) // the last takes its place
	index(3, 0)
	index(2, 1)
	g.leave(7)
	g.rename(2, 4)
	index(4, 1)
	g.leave(4)
	index(3, 0)
	g.leave(3)
	if i, ok := g.index(3); ok {
		t.Errorf("an empty group has index %d", i)
	}
}

func TestParseSockaddr(t *testing.T) {
	for _, test := range []struct {
		raw  string
		want string // "": not ours
	}{
		{"\x02\x00\x25\x1d\x7f\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00", "127.0.0.1:9501"},
		{"\x02\x00\x25\x1d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "0.0.0.0:9501"},
		{"\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", ""},
		{"\x02\x00\x25\x1d\x7f\x00", ""},
		{"\x0a\x00\x25\x1d\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x00", "[::1]:9501"},
		{"\x0a\x00\x25\x1d\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "[::]:9501"},
		{"\x0a\x00\x25\x1d\x00\x00\x00\x00" + "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x02\x00\x00\x00", "[fe80::1%2]:9501"},
		{"\x01\x00/run/x.sock\x00\x00\x00garbage", "unix:/run/x.sock"},
		{"\x01\x00/run/x.sock", "unix:/run/x.sock"},
		{"\x01\x00\x00abstract", "unix:@abstract"},
		{"\x01\x00", ""},
		{"\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", ""},
		{"\x02", ""},
		{"", ""},
	} {
		a, err := parseSockaddr([]byte(test.raw))
		if have := a.String(); (err == nil) != (test.want != "") || err == nil && have != test.want {
			t.Errorf("%q: %s, %v, want %q", test.raw, have, err, test.want)
		}
	}
}

func TestReach(t *testing.T) {
	for at, want := range map[string][2]string{
		"0.0.0.0:80": {"127.0.0.1:80", "127.0.0.1"}, "[::]:80": {"[::1]:80", "::1"}, "10.0.0.1:80": {"10.0.0.1:80", "10.0.0.1"},
	} {
		to, from := Address{AddrPort: netip.MustParseAddrPort(at)}.reach()
		if to.String() != want[0] || from.String() != want[1] {
			t.Errorf("%s is reached at %s from %s", at, to, from)
		}
	}
}
