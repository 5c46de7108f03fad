package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// Handler returns the pages: /metrics, /healthz, and an index of the two. Constant facts become the labels of
// xhttpd_info. healthy returns nil, or why not; any goroutine may call it.
func Handler(families []Family, facts map[string]string, healthy func() error) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "xhttpd_info", Help: "What runs, and on what; always 1.", ConstLabels: facts,
	}, func() float64 { return 1 })
	for _, c := range []prometheus.Collector{
		collector(families), info, collectors.NewGoCollector(), version.NewCollector("xhttpd"),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := healthy(); err != nil {
			page(w, http.StatusServiceUnavailable, err.Error()+"\n")
			return
		}
		page(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		page(w, http.StatusOK, "xhttpd\n\n/metrics  counters, for Prometheus\n/healthz  200 while it serves\n")
	})
	return mux, nil
}

func page(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client may have gone
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
			Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
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

// Stop ends the server. Requests under way have a second: what they read may be closed next.
func (s *Server) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	if err != nil {
		return fmt.Errorf("stop the admin server: %w", err)
	}
	return nil
}
