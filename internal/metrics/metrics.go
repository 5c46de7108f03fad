// Package metrics serves a daemon's counters and its health over HTTP, on a loopback address. What the counters are is
// the caller's business: each Family reads them when it is asked.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Family is one metric, with at most one label.
type Family struct {
	Name, Help string
	Label      string // "" if it has none
	Gauge      bool   // it may fall; otherwise it is a counter
	// Read calls emit once for each value of the label, or once with "". It must emit the values that are still 0
	// too, so that whoever watches for a first event sees it. Any goroutine may call it.
	Read func(emit func(label string, v float64))
}

func (f *Family) desc() *prometheus.Desc {
	var labels []string
	if f.Label != "" {
		labels = []string{f.Label}
	}
	return prometheus.NewDesc(f.Name, f.Help, labels, nil)
}

// collector is a prometheus.Collector of families.
type collector []Family

// Describe implements prometheus.Collector.
func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for k := range c {
		descs <- c[k].desc()
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for k := range c {
		f := &c[k]
		kind := prometheus.CounterValue
		if f.Gauge {
			kind = prometheus.GaugeValue
		}
		desc := f.desc()
		f.Read(func(label string, v float64) {
			var labels []string
			if f.Label != "" {
				labels = []string{label}
			}
			out <- prometheus.MustNewConstMetric(desc, kind, v, labels...)
		})
	}
}

// Handler returns the pages: /metrics, /healthz, and an index of the two. healthy returns nil, or why not.
func Handler(families []Family, healthy func() error) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collector(families), collectors.NewGoCollector(), version.NewCollector("xhttpd"),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := healthy(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err) //nolint:errcheck // the client has gone
			return
		}
		fmt.Fprintln(w, "ok") //nolint:errcheck // the client has gone
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "xhttpd\n\n/metrics  counters, for Prometheus\n/healthz  200 while it serves\n") //nolint:errcheck // the client has gone
	})
	return mux, nil
}

// Server is a running admin server.
type Server struct {
	http *http.Server
	done chan struct{}
	Addr net.Addr // where it listens
}

// Serve listens on addr and serves h until Stop.
func Serve(ctx context.Context, addr string, h http.Handler, log *slog.Logger) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start the admin server (--admin names another address): %w", err)
	}
	s := &Server{
		http: &http.Server{
			Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
			MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		done: make(chan struct{}),
		Addr: listener.Addr(),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin server has ended", "err", err)
		}
	}()
	return s, nil
}

// Stop ends the server at once.
func (s *Server) Stop() error {
	err := s.http.Close()
	<-s.done
	if err != nil {
		return fmt.Errorf("stop the admin server: %w", err)
	}
	return nil
}
