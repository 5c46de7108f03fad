package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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
	errs  chan error
	// Addr is where it listens.
	Addr net.Addr
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
		errs:  make(chan error, 1),
		Addr:  listener.Addr(),
	}
	go func() { s.errs <- s.http.Serve(listener) }()
	return s, nil
}

// Stop lets responses under way end until ctx does, and ends the server.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // those that are left had their time
	}
	if served := <-s.errs; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err = errors.Join(err, s.files.Close()); err != nil {
		return fmt.Errorf("stop the builtin server: %w", err)
	}
	return nil
}
