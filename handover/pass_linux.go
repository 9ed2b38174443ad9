package handover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"

	"golang.org/x/sys/unix"
)

// backlog of sockets that are opened here; the kernel takes less if net.core.somaxconn says so.
const backlog = 4096

// Restrict hands over these addresses only, HOST:PORT or unix:PATH. With pass they are opened here, and given to the server as
// systemd does: sd_listen_fds(3).
func (a *Sockets) Restrict(listen []string, pass bool) error {
	var only []Address
	for _, text := range listen {
		address, err := resolve(text)
		if err != nil {
			return fmt.Errorf("address %s: %w", text, err)
		}
		only = append(only, address)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.only, a.passes = only, pass
	return nil
}

// Inherit passes on to each generation what hotreload was given itself, by systemd's socket activation. Such sockets are one for all
// generations: connections wait in them while the server is stopped and started.
func (a *Sockets) Inherit(files []*os.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inherited = files
}

// inherit gives cmd copies of what was inherited; the caller holds the lock.
func (g *Generation) inherit(cmd *exec.Cmd) error {
	for _, file := range g.all.inherited {
		fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("pass on %s: %w", file.Name(), err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), file.Name()))
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil {
			g.inherited = append(g.inherited, st.Ino)
		}
	}
	return errors.New("its sockets are systemd's, and connections wait in them meanwhile")
}

// resolve reads an address as a person writes it. Without a host it is all of the machine's, by IPv4 and IPv6.
func resolve(text string) (Address, error) {
	if address, err := ParseAddress(text); err == nil {
		return address, nil
	}
	at, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		return Address{}, err
	}
	ip := netip.IPv6Unspecified()
	if at.IP != nil {
		ip = at.AddrPort().Addr().Unmap()
	}
	return Address{AddrPort: netip.AddrPortFrom(ip, uint16(at.Port))}, nil
}

// wanted reports whether an address is to be handed over.
func (a *Sockets) wanted(address Address) bool {
	return len(a.only) == 0 || slices.ContainsFunc(a.only, func(o Address) bool {
		return o == address || o.AddrPort == address.AddrPort && o.Path == address.Path
	})
}

// pass opens the sockets of a generation and gives them to cmd, numbered from 3 on; the caller holds the lock.
func (g *Generation) pass(cmd *exec.Cmd) error {
	for _, address := range g.all.only {
		s := g.all.orphaned(g, address)
		if s == nil {
			var err error
			if s, err = g.all.open(address); err != nil {
				return err
			}
			g.sockets[address] = s
		}
		fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), address.String()))
	}
	return nil
}

// open makes a socket that listens, and takes no connection from those that listen there already.
func (a *Sockets) open(address Address) (*socket, error) {
	if address.IsUnix() {
		return nil, fmt.Errorf("pass %s: unix sockets are not passed, the server may bind it by itself", address)
	}
	domain := unix.AF_INET
	if address.AddrPort.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", address, err)
	}
	s := &socket{fd: fd}
	if err := a.prepare(s, address); err != nil {
		s.close()
		return nil, fmt.Errorf("open %s: %w", address, err)
	}
	return s, nil
}

func (a *Sockets) prepare(s *socket, address Address) error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if address.V6Only {
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if err := a.admit(s, address); err != nil {
		return err
	}
	if err := unix.Bind(s.fd, sockaddr(address.AddrPort)); err != nil {
		return err
	}
	if err := unix.Listen(s.fd, backlog); err != nil {
		return err
	}
	var st unix.Stat_t
	err := unix.Fstat(s.fd, &st)
	s.inode = st.Ino
	return err
}
