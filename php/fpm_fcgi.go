package php

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"syscall"

	"github.com/yookoala/gofast"
)

// One request on one connection, which is all that is needed here. gofast speaks FastCGI; the connection below it is ours,
// because gofast neither ends with a context, nor bounds an answer, nor tells one that broke off from one that is complete. Only its
// client is used: that logs nothing, unlike its http.Handler. The client's Close is not used: it races with the client's goroutines.

// fcgiLimit bounds an answer, in bytes: who says more than that is not our script.
const fcgiLimit = 4 << 20

// fcgiOwnHeader comes before what the server says: a record of its output, with a header that ends at once. gofast takes that for all
// the headers there are, and passes on the real ones as they came. Its own reading of them gives up on a line of more than 1 KB and on
// a missing Content-Type, and then waits for ever for the rest of an answer that it no longer reads.
const fcgiOwnHeader = "\x01\x06\x00\x01\x00\x0f\x00\x00" + "Status: 200\r\n\r\n"

// fcgiAnswer is the answer to one request.
type fcgiAnswer struct {
	status int    // of HTTP; 200 where none was said
	body   []byte // what the script printed
	stderr string // what php-fpm wrote to the error stream
}

// fcgiAsk makes one request of php-fpm and waits for the answer until ctx ends. The error of a connection that cannot be
// made is an *net.OpError whose Op is "dial"; that of a ctx that ended is the ctx's.
func fcgiAsk(ctx context.Context, a FPMAddress, params map[string]string) (fcgiAnswer, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, a.Network, a.Addr)
	if err != nil {
		return fcgiAnswer{}, orEnded(ctx, err)
	}
	// This ends gofast's goroutines, too: each of them reads from the connection, writes to it, or waits for those two. And gofast always
	// asks php-fpm to keep the connection, so that its worker serves nobody else until it is closed.
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	answer, err := fcgiExchange(conn, params)
	return answer, orEnded(ctx, err)
}

// orEnded is the error of ctx where its end is what err came of.
func orEnded(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// fcgiExchange returns when the request has ended, or the connection.
func fcgiExchange(conn net.Conn, params map[string]string) (fcgiAnswer, error) {
	below := &fcgiConn{Conn: conn, own: strings.NewReader(fcgiOwnHeader), answer: bufio.NewReader(conn)}
	client, err := gofast.SimpleClientFactory(func() (net.Conn, error) { return below, nil })()
	if err != nil {
		return fcgiAnswer{}, err
	}
	request := gofast.NewRequest(nil)
	request.Params = params
	response, err := client.Do(request)
	if err != nil {
		return fcgiAnswer{}, err
	}
	var out fcgiOutput
	var diagnostics bytes.Buffer
	err = response.WriteTo(&out, &diagnostics)
	if below.err != nil {
		return fcgiAnswer{}, below.err
	}
	if err != nil {
		return fcgiAnswer{}, err
	}
	answer, err := parseCGI(out.Bytes())
	answer.stderr = strings.TrimSpace(diagnostics.String())
	return answer, err
}

// fcgiConn is what gofast reads from. It does so in one goroutine, which has ended when the answer has, and not beyond the end of
// the request: so every error is one of the answer.
type fcgiConn struct {
	net.Conn
	own    *strings.Reader // fcgiOwnHeader
	answer *bufio.Reader   // of Conn
	got    int             // bytes of it
	err    error           // gofast keeps it to itself
}

func (c *fcgiConn) Read(p []byte) (n int, err error) {
	if c.own.Len() > 0 {
		return c.own.Read(p)
	}
	n, c.err = c.readAnswer(p)
	return n, c.err
}

func (c *fcgiConn) readAnswer(p []byte) (int, error) {
	if c.got == 0 {
		if err := c.isFastCGI(); err != nil {
			return 0, err
		}
	}
	n, err := c.answer.Read(p)
	if c.got += n; c.got > fcgiLimit {
		return 0, fmt.Errorf("the answer is longer than %d MiB", fcgiLimit>>20)
	}
	return n, brokenOff(err)
}

// isFastCGI looks at the first byte, which is the version of the protocol.
func (c *fcgiConn) isFastCGI() error {
	first, err := c.answer.Peek(1)
	if err != nil || first[0] == 1 {
		return brokenOff(err)
	}
	words, _ := c.answer.Peek(c.answer.Buffered())
	line, _, _ := bytes.Cut(words, []byte("\n"))
	return fmt.Errorf("%w: it begins with %q", ErrNotFastCGI, line[:min(len(line), 60)])
}

func brokenOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return ErrFPMBroken
	}
	return err
}

// fcgiOutput takes what gofast writes as to a browser. The status and the headers are those of fcgiOwnHeader.
type fcgiOutput struct{ bytes.Buffer }

func (*fcgiOutput) Header() http.Header { return http.Header{} }
func (*fcgiOutput) WriteHeader(int)     {}

// parseCGI splits what a script printed into headers and body.
func parseCGI(out []byte) (fcgiAnswer, error) {
	r := bufio.NewReader(bytes.NewReader(out))
	header, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return fcgiAnswer{}, fmt.Errorf("%w: it has no headers, and begins with %q", ErrNotFastCGI, out[:min(len(out), 60)])
	}
	answer := fcgiAnswer{status: 200}
	if status := header.Get("Status"); status != "" {
		code, _, _ := strings.Cut(status, " ")
		if answer.status, err = strconv.Atoi(code); err != nil {
			return fcgiAnswer{}, fmt.Errorf("%w: its status is %q", ErrNotFastCGI, status)
		}
	}
	answer.body, err = io.ReadAll(r)
	return answer, err
}
