package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// ErrNotRunning says that no hotreload answers: there is nothing to talk to.
var ErrNotRunning = errors.New("no hotreload is running")

// Client talks to a running hotreload.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client for the hotreload at a place. It connects anew for each call.
func NewClient(place Place) *Client {
	c := &Client{socket: place.Socket}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:       c.dial,
		DisableKeepAlives: true, // else a call might be repeated on a second connection
	}}
	return c
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w on %s", ErrNotRunning, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s belongs to another user", c.socket)
	}
	return conn, err
}

// Status asks what runs.
func (c *Client) Status(ctx context.Context) (supervisor.Status, error) {
	var st supervisor.Status
	err := c.call(ctx, http.MethodGet, pathStatus, nil, &st)
	return st, err
}

// Reload asks for a reload of the workers. The operation goes on when ctx ends.
func (c *Client) Reload(ctx context.Context, in OperationRequest) (OperationReply, error) {
	return c.operate(ctx, pathReload, in)
}

// Restart asks for a new master. The operation goes on when ctx ends.
func (c *Client) Restart(ctx context.Context, in OperationRequest) (OperationReply, error) {
	return c.operate(ctx, pathRestart, in)
}

// Stop asks for a graceful stop; a second call stops at once. When it waits, it waits until the process of hotreload has
// ended, so that the next one can be started right after.
func (c *Client) Stop(ctx context.Context, in OperationRequest) (OperationReply, error) {
	daemon := c.peer(ctx)
	out, err := c.operate(ctx, pathStop, in)
	if err == nil && in.Wait && daemon != (signals.Process{}) {
		err = daemon.Wait(ctx)
	}
	return out, err
}

// peer identifies the process behind the socket; zero where it cannot be found out.
func (c *Client) peer(ctx context.Context) signals.Process {
	conn, err := c.dial(ctx, "", "")
	if err != nil {
		return signals.Process{}
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return signals.Process{}
	}
	pid := 0
	if raw.Control(func(fd uintptr) { pid = peerPID(int(fd)) }) != nil || pid <= 0 {
		return signals.Process{}
	}
	p, err := signals.Lookup(pid)
	if err != nil {
		return signals.Process{}
	}
	return p
}

func (c *Client) operate(ctx context.Context, path string, in OperationRequest) (OperationReply, error) {
	var out OperationReply
	err := c.call(ctx, http.MethodPost, path, in, &out)
	return out, err
}

// call makes one request. The error is ctx's when that ended first, and what hotreload said when it refused.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("ask hotreload: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://hotreload"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask hotreload: %w", err)
	}
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.callError(ctx, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return c.callError(ctx, err)
	}
	if resp.StatusCode >= 300 {
		return refusal(resp, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read hotreload's answer: %w", err)
	}
	return nil
}

func (c *Client) callError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrNotRunning):
		return fmt.Errorf("%w on %s", ErrNotRunning, c.socket)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errors.New("hotreload ended before it answered")
	}
	return fmt.Errorf("ask hotreload: %w", err)
}

func refusal(resp *http.Response, text []byte) error {
	var e apiError
	if json.Unmarshal(text, &e) != nil || e.Error == "" {
		return fmt.Errorf("ask hotreload: %s", resp.Status)
	}
	if resp.StatusCode == http.StatusServiceUnavailable && e.Error == supervisor.ErrStopping.Error() {
		return supervisor.ErrStopping
	}
	return errors.New(e.Error)
}
