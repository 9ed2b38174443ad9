package handover

import "slices"

// group is the order in which the kernel counts the sockets of one address: that in which they began to listen. When one leaves, the last
// takes its place (reuseport_detach_sock in net/core/sock_reuseport.c). It holds the numbers of generations.
type group []int

func (g *group) join(generation int) {
	if !slices.Contains(*g, generation) {
		*g = append(*g, generation)
	}
}

func (g *group) leave(generation int) {
	i := slices.Index(*g, generation)
	if i < 0 {
		return
	}
	last := len(*g) - 1
	(*g)[i] = (*g)[last]
	*g = (*g)[:last]
}

// rename moves a socket to another generation.
func (g group) rename(from, to int) {
	if i := slices.Index(g, from); i >= 0 {
		g[i] = to
	}
}

// index is what a program must return to choose the socket of a generation; false: it has none.
func (g group) index(generation int) (uint32, bool) {
	i := slices.Index(g, generation)
	return uint32(i), i >= 0
}
