package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/supervisor"
)

// Supervisor is what the door leads to.
type Supervisor interface {
	Do(ctx context.Context, r supervisor.Request) (supervisor.Outcome, error)
	Stop(ctx context.Context) error
	Status(ctx context.Context) (supervisor.Status, error)
}

// newSuffix is what a socket is called for the moment in which it does not have its mode yet.
const newSuffix = ".new"

// Listen opens the socket. A socket file that nobody listens on is replaced; one that somebody listens on, or that is
// no socket, is left alone and reported. The holder of the lock calls it.
func (l *Lock) Listen() (net.Listener, error) {
	socket := l.place.Socket
	if st, err := os.Lstat(socket); err == nil {
		switch {
		case st.Mode()&fs.ModeSocket == 0:
			return nil, fmt.Errorf("listen on %s: there is a file of that name, and it is no socket", socket)
		case answers(socket):
			return nil, fmt.Errorf("listen on %s: another program listens there", socket)
		}
	}
	// Made under another name and renamed, so that nobody can open it before it has its mode, and no client finds it missing.
	fresh := socket + newSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	listener.SetUnlinkOnClose(false) // it would remove the wrong name
	err = os.Chmod(fresh, 0o600)
	if err == nil {
		err = os.Rename(fresh, socket)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", socket, err), listener.Close(), os.Remove(fresh))
	}
	return &namedListener{listener, socket}, nil
}

// namedListener removes its socket file when it is closed.
type namedListener struct {
	*net.UnixListener
	path string
}

func (l *namedListener) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.UnixListener.Close())
}

// farewell is how long answers that are ready may take to reach their callers when serving ends.
const farewell = time.Second

// Serve answers clients until ctx is done, and then ends all connections: those whose answer is ready within a second get
// it. It closes l. What clients do never holds up the supervisor. A nil log is silent.
func Serve(ctx context.Context, l net.Listener, sup Supervisor, log *zap.Logger) error {
	if log == nil {
		log = zap.NewNop()
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	s := &server{sup: sup, log: log, life: life}
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.path, r.serve)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, fmt.Sprintf("this hotreload does not know %s", r.URL.Path))
	})
	h := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(log),
	}
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve control socket: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(life, farewell)
	defer cancel()
	if h.Shutdown(bounded) != nil {
		h.Close()
	}
	<-done
	return nil
}

type server struct {
	sup  Supervisor
	log  *zap.Logger
	life context.Context // of what nobody waits for
}

// route is one thing that can be asked.
type route struct {
	method, path string
	answer       func(w http.ResponseWriter, r *http.Request)
}

func (t route) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != t.method {
		w.Header().Set("Allow", t.method)
		fail(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s, not %s", t.path, t.method, r.Method))
		return
	}
	t.answer(w, r)
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	st, err := s.sup.Status(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	reply(w, http.StatusOK, st)
}

func (s *server) reload(w http.ResponseWriter, r *http.Request) {
	s.operate(w, r, func(in OperationRequest) supervisor.Action {
		switch {
		case in.Tasks:
			return supervisor.ReloadTasks
		case in.Release != "":
			return supervisor.None
		}
		return supervisor.Reload
	})
}

func (s *server) restart(w http.ResponseWriter, r *http.Request) {
	s.operate(w, r, func(OperationRequest) supervisor.Action { return supervisor.Restart })
}

// operate asks for an operation. A caller that goes away leaves it running.
func (s *server) operate(w http.ResponseWriter, r *http.Request, action func(OperationRequest) supervisor.Action) {
	in, err := request(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	ask := supervisor.Request{Action: action(in), Release: in.Release, Reason: in.Reason}
	if !in.Wait {
		go func() {
			if _, err := s.sup.Do(s.life, ask); err != nil && s.life.Err() == nil {
				s.log.Warn("what was asked for could not be done", zap.String("action", ask.Action.String()), zap.Error(err))
			}
		}()
		reply(w, http.StatusAccepted, OperationReply{Accepted: true})
		return
	}
	out, err := s.sup.Do(r.Context(), ask)
	switch {
	case errors.Is(err, supervisor.ErrStopping):
		fail(w, http.StatusServiceUnavailable, err.Error())
	case err != nil:
		fail(w, http.StatusConflict, err.Error())
	default:
		reply(w, http.StatusOK, OperationReply{Accepted: true, Outcome: &out})
	}
}

func (s *server) stop(w http.ResponseWriter, r *http.Request) {
	in, err := request(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if !in.Wait {
		go s.sup.Stop(s.life) // what was not well about the end is what Run returns, too
		reply(w, http.StatusAccepted, OperationReply{Accepted: true})
		return
	}
	out := OperationReply{Accepted: true}
	if err := s.sup.Stop(r.Context()); err != nil {
		out.Error = err.Error()
	}
	reply(w, http.StatusOK, out)
}

// request reads the body of a request; an empty one asks for nothing special, and waits.
func request(r *http.Request) (OperationRequest, error) {
	in := OperationRequest{Wait: true}
	d := json.NewDecoder(io.LimitReader(r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		return in, fmt.Errorf("read request: %w", err)
	}
	if in.Reason == "" {
		in.Reason = "control socket"
	}
	return in, nil
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A caller that has gone is no error of ours.
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, text string) {
	reply(w, status, apiError{text})
}
