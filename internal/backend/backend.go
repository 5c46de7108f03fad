package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ServerField is the value of its Server field.
const ServerField = "xhttpd"

// Options say what is served. All but SloppyMime must be set.
type Options struct {
	Port       uint16 // on every address; 0: any that is free, for tests
	Root       string // directory
	MimeTypes  string // file in the format of Apache's TypesConfig
	SloppyMime bool   // files of unknown types are text/html
	// IdleTimeout and HeadTimeout are how long a connection may be idle, and a head may take.
	IdleTimeout, HeadTimeout time.Duration
	Logger                   *slog.Logger
}

// Server is a running file server.
type Server struct {
	http  *http.Server
	files *files
	fresh fresh
	ended chan struct{} // closed when it has; then err is why
	err   error
	// Addr is where it listens.
	Addr net.Addr
}

// fresh are the connections that have not asked for anything yet. Those that are handed over when the daemon stops
// are such; Shutdown would wait 5 s for their first request.
type fresh struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (f *fresh) note(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state == http.StateNew {
		f.conns[c] = struct{}{}
	} else {
		delete(f.conns, c)
	}
}

func (f *fresh) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close() // whose it was, it is over
	}
}

// Start listens and serves, until Stop.
func Start(ctx context.Context, opts Options) (*Server, error) {
	handler, err := newFiles(opts.Root, opts.MimeTypes, opts.SloppyMime)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	// The kernel does not hand connections to a listener of Multipath TCP, which Go's are by default.
	lc.SetMultipathTCP(false)
	listener, err := lc.Listen(ctx, "tcp", fmt.Sprintf(":%d", opts.Port))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the builtin server (if another one shall be behind, leave '--backend builtin' out): %w", err), handler.Close())
	}
	s := &Server{
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: opts.HeadTimeout,
			IdleTimeout:       opts.IdleTimeout,
			MaxHeaderBytes:    64 << 10,
			// No time limit for responses: they may be large, and links slow. The kernel ends those that nobody reads.
			ErrorLog: slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug), // clients cause these
		},
		files: handler,
		ended: make(chan struct{}),
		fresh: fresh{conns: make(map[net.Conn]struct{})},
		Addr:  listener.Addr(),
	}
	s.http.ConnState = s.fresh.note
	go func() {
		defer close(s.ended)
		s.err = s.http.Serve(listener)
	}()
	return s, nil
}

// Stop lets responses under way end until ctx does, closes what is idle, and ends the server. It may be called again.
func (s *Server) Stop(ctx context.Context) error {
	s.fresh.close()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // those that are left had their time
	}
	if <-s.ended; !errors.Is(s.err, http.ErrServerClosed) {
		err = errors.Join(err, s.err)
	}
	if err = errors.Join(err, s.files.Close()); err != nil {
		return fmt.Errorf("stop the builtin server: %w", err)
	}
	return nil
}
