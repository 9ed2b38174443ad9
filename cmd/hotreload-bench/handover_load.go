package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// clients are how many make requests at a time, each the next one as soon as it has its answer.
const clients = 20

// loadPatience is when a request counts as not answered.
const loadPatience = 10 * time.Second

// load is what the clients do.
type load struct {
	addresses []string // the clients are spread over them
	path      string
	keepAlive bool          // else each request has a connection of its own, and says so
	think     time.Duration // between two requests on one connection
	// heard is told of every answer, and when it was asked for: before the connection was made, if there is one for each request. It is
	// called from many goroutines. nil: nobody wants to know.
	heard func(asked time.Time, body []byte)
}

// losses are what the clients saw.
type losses struct {
	answered   int
	refused    int // connections that could not be made
	unanswered int // requests that were sent, and got no whole answer with status 200
	closed     int // connections that the server closed between two requests
	slowest    time.Duration
	why        map[string]int // how requests and connections failed
}

func (l *losses) failed() int { return l.refused + l.unanswered }

func (l *losses) add(other losses) {
	l.answered += other.answered
	l.refused += other.refused
	l.unanswered += other.unanswered
	l.closed += other.closed
	l.slowest = max(l.slowest, other.slowest)
	if l.why == nil {
		l.why = map[string]int{}
	}
	for text, n := range other.why {
		l.why[text] += n
	}
}

// running is a load that was begun.
type running struct {
	stop  context.CancelFunc
	group sync.WaitGroup
	began time.Time

	mu  sync.Mutex
	all losses
}

func (l load) begin(ctx context.Context) *running {
	ctx, stop := context.WithCancel(ctx)
	r := &running{stop: stop, began: time.Now()}
	for i := range clients {
		r.group.Go(func() {
			c := &loadClient{load: l, address: l.addresses[i%len(l.addresses)]}
			c.run(ctx)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.all.add(c.losses)
		})
	}
	return r
}

// end has every client finish its request, and returns what they saw, and for how long they were at it.
func (r *running) end() (losses, time.Duration) {
	took := time.Since(r.began)
	r.stop()
	r.group.Wait()
	return r.all, took
}

// loadClient is one of them.
type loadClient struct {
	load
	losses
	address string
	asked   time.Time // when the present request, or the connection for it, was begun
	conn    net.Conn
	reader  *bufio.Reader
}

func (c *loadClient) run(ctx context.Context) {
	defer c.drop()
	for ctx.Err() == nil {
		c.asked = time.Now()
		if c.conn == nil && !c.connect(ctx) {
			continue
		}
		if c.keepAlive && c.closedMeanwhile() {
			c.closed++
			c.drop()
			continue
		}
		began := time.Now()
		last, err := c.ask()
		if err != nil {
			c.unanswered++
			c.note(err)
			c.drop()
			continue
		}
		c.answered++
		c.slowest = max(c.slowest, time.Since(began))
		if !c.keepAlive {
			c.drop()
			continue
		}
		if last {
			c.closed++
			c.drop()
		}
		if c.think > 0 {
			wait(ctx, c.think)
		}
	}
}

func (c *loadClient) connect(ctx context.Context) bool {
	began := time.Now()
	conn, err := net.DialTimeout("tcp", c.address, loadPatience)
	if err != nil {
		c.refused++
		c.note(err)
		wait(ctx, 5*time.Millisecond) // a server that is down is not asked as fast as can be
		return false
	}
	c.slowest = max(c.slowest, time.Since(began))
	c.take(conn)
	return true
}

func (c *loadClient) take(conn net.Conn) { c.conn, c.reader = conn, bufio.NewReader(conn) }

func (c *loadClient) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// note remembers how something failed, without the addresses.
func (c *loadClient) note(err error) {
	if c.why == nil {
		c.why = map[string]int{}
	}
	text := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		text = errno.Error()
	}
	c.why[text]++
}

// closedMeanwhile reports whether the server has closed the connection, without waiting.
func (c *loadClient) closedMeanwhile() bool {
	raw, err := c.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	over := false
	err = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		over = err == nil && n == 0 || err != nil && !errors.Is(err, syscall.EAGAIN)
		return true
	})
	return over || err != nil
}

// ask makes one request. last: the server closes the connection after it.
func (c *loadClient) ask() (last bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(loadPatience)); err != nil {
		return false, err
	}
	connection := "close"
	if c.keepAlive {
		connection = "keep-alive"
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n", c.path, connection); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %d", resp.StatusCode)
	}
	if c.heard != nil {
		c.heard(c.asked, body)
	}
	return resp.Close, nil
}

// wait returns early when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
