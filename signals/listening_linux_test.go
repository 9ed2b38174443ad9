package signals

import (
	"net"
	"slices"
	"testing"
)

func TestListening(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := Listening()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(o Listener) bool { return o.Network == "tcp4" && o.Addr == l.Addr().String() }) {
		t.Errorf("%s is not among %v", l.Addr(), all)
	}
}
