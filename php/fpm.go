package php

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"
)

// Why php-fpm did not tell anything. The error around it says which address, and what was answered.
var (
	// ErrFPMGone: nobody listens there.
	ErrFPMGone = errors.New("no php-fpm listens there")
	// ErrFPMLocked: somebody does, and this user may not connect.
	ErrFPMLocked = errors.New("this user may not connect")
	// ErrFPMScript: the script for it could not be written.
	ErrFPMScript = errors.New("write a script for php-fpm")
	// ErrFPMLate: nothing was answered in time; all workers are busy, or stopped.
	ErrFPMLate = errors.New("no answer")
	// ErrFPMBroken: the worker ended while it answered, or may not talk to us (listen.allowed_clients).
	ErrFPMBroken = errors.New("the connection was closed before the end of the answer")
	// ErrNotFastCGI: whatever answered is not php-fpm.
	ErrNotFastCGI = errors.New("the answer is not FastCGI")
	// ErrFPMUnseen: the script that was written for it does not exist for php-fpm.
	ErrFPMUnseen = errors.New("php-fpm does not see the script that hotreload wrote for it")
	// ErrFPMDenied: php-fpm sees the script and may not run it.
	ErrFPMDenied = errors.New("php-fpm may not run the script that hotreload wrote for it")
)

// FPMPatience is how long one question may take when nobody says otherwise.
const FPMPatience = 10 * time.Second

// FPM is a pool of php-fpm.
type FPM struct {
	Address FPMAddress
	// Place is where it can read a script.
	Place FPMPlace
	// Patience is how long one question may take; 0: FPMPatience.
	Patience time.Duration
}

// fpmReply is what the script printed.
type fpmReply struct {
	PHP        string            `json:"php"`
	ThreadSafe bool              `json:"thread_safe"`
	Host       string            `json:"host"`
	Parent     int               `json:"parent"`
	Loaded     bool              `json:"loaded"`
	Forbidden  []string          `json:"forbidden"`
	INI        map[string]string `json:"ini"`
	Status     *opcacheStatus    `json:"status"`
	Reset      *bool             `json:"reset"`
	Messages   []string          `json:"messages"`
}

// What the script can be told to do.
const (
	fpmStatus = "status"
	fpmReset  = "reset"
)

// conversation is a pool with a script that it can run.
type conversation struct {
	FPM
	script *laidScript
}

// talk lays the script, lets f ask, and removes the script, whatever came of it.
func (f FPM) talk(do func(conversation) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", f.Address, err)
		}
	}()
	script, err := layScript(f.Place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, script.remove()) }()
	return do(conversation{f, script})
}

// ask has the script run once.
func (c conversation) ask(ctx context.Context, action string) (fpmReply, error) {
	begin := time.Now()
	question, cancel := context.WithTimeout(ctx, cmp.Or(c.Patience, FPMPatience))
	defer cancel()
	answer, err := fcgiAsk(question, c.Address, c.params(action))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fpmReply{}, fmt.Errorf("%w within %s", ErrFPMLate, time.Since(begin).Round(100*time.Millisecond))
	case errors.Is(err, syscall.EAGAIN): // connect(2) of a unix socket
		return fpmReply{}, fmt.Errorf("%w: its queue is full (listen.backlog)", ErrFPMLate)
	case errors.Is(err, fs.ErrPermission):
		return fpmReply{}, fmt.Errorf("%w: %w", ErrFPMLocked, reason(err))
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return fpmReply{}, fmt.Errorf("%w: %w", ErrFPMGone, reason(err))
	case err != nil:
		return fpmReply{}, reason(err)
	}
	return c.read(answer)
}

// reason leaves the address, which the caller says, out of an error of the network.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// params are those of a request as a web server makes them. PHP_VALUE and PHP_ADMIN_VALUE must not be among them: what they
// set stays set in the worker, for the application's requests, too (fastcgi_ini_parser in sapi/fpm/fpm/fpm_main.c).
func (c conversation) params(action string) map[string]string {
	return map[string]string{
		"SCRIPT_FILENAME":   c.script.path,
		"SCRIPT_NAME":       "/hotreload-opcache",
		"REQUEST_URI":       "/hotreload-opcache",
		"REQUEST_METHOD":    "GET",
		"QUERY_STRING":      "",
		"SERVER_PROTOCOL":   "HTTP/1.1",
		"SERVER_SOFTWARE":   "hotreload",
		"SERVER_NAME":       "localhost",
		"HTTP_HOST":         "localhost",
		"REMOTE_ADDR":       "127.0.0.1",
		"GATEWAY_INTERFACE": "CGI/1.1",
		"HOTRELOAD_ACTION":  action,
	}
}

// read finds the reply in an answer.
func (c conversation) read(a fcgiAnswer) (fpmReply, error) {
	_, text, found := bytes.Cut(a.body, []byte("\x02"))
	text, _, closed := bytes.Cut(text, []byte("\x03"))
	var reply fpmReply
	if found && closed {
		if err := json.Unmarshal(text, &reply); err != nil {
			return fpmReply{}, fmt.Errorf("read the answer of the script: %w", err)
		}
		return reply, nil
	}
	said := a.words()
	switch a.status {
	case 404:
		return fpmReply{}, fmt.Errorf("%w, %s: it answers %s", ErrFPMUnseen, c.script.path, said)
	case 403:
		return fpmReply{}, fmt.Errorf("%w, %s: it answers %s", ErrFPMDenied, c.script.path, said)
	}
	return fpmReply{}, fmt.Errorf("the script did not run to its end; the answer is %s", said)
}

// words are an answer in a line: its status, what php-fpm said aside, and what was printed.
func (a fcgiAnswer) words() string {
	const most = 300
	words := fmt.Sprintf("%d", a.status)
	for _, text := range []string{string(a.body), a.stderr} {
		text = strings.Join(strings.Fields(markup.ReplaceAllString(text, "")), " ")
		if text != "" {
			words += fmt.Sprintf(" %q", text[:min(len(text), most)])
		}
	}
	return words
}
