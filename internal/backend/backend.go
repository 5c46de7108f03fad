// Package backend is the server behind for those who have none: the standard library's file server on an ordinary
// kernel listener, to which connections are handed over as to any other.
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

// Name is what the setting --backend calls it.
const Name = "builtin"

// Server is a running file server.
type Server struct {
	http *http.Server
	errs chan error
}

// Start listens on port, on every address, and serves root.
func Start(ctx context.Context, port uint16, root string, log *slog.Logger) (*Server, error) {
	var lc net.ListenConfig
	// The kernel does not hand connections to a listener of Multipath TCP, which Go's are by default.
	lc.SetMultipathTCP(false)
	listener, err := lc.Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("start the builtin server; if another one is to stay, leave --backend builtin out: %w", err)
	}
	s := &Server{
		http: &http.Server{
			Handler:           http.FileServer(http.Dir(root)),
			ReadHeaderTimeout: 20 * time.Second,
			IdleTimeout:       5 * time.Second,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		errs: make(chan error, 1),
	}
	go func() { s.errs <- s.http.Serve(listener) }()
	return s, nil
}

// Stop waits for the requests under way until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if served := <-s.errs; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
