package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/xload"
)

// load are the flags that say what is asked for, and how.
type load struct {
	URL string `arg:"" help:"What to ask for. With --list or --specweb96 its path goes before each of theirs."`

	List      string   `type:"existingfile" placeholder:"FILE" group:"What" xor:"what" help:"Paths to ask for, one a line: PATH [WEIGHT [LENGTH]]."`
	SPECweb96 float64  `name:"specweb96" placeholder:"LOAD" group:"What" xor:"what" help:"Ask for the SPECweb96 mix, with the directories for LOAD requests in a second, as made by 'xload fileset --load LOAD'."`
	Header    []string `short:"H" sep:"none" placeholder:"FIELD" group:"What" help:"Further header field, NAME: VALUE. May be repeated."`
	Status    int      `default:"200" group:"What" help:"Status that each response must have."`
	Sum       bool     `name:"checksum" group:"What" help:"Check bodies, too: with --specweb96 against what 'xload fileset' makes, else against the first response."`

	Connections    int           `short:"c" default:"64" group:"How" help:"Connections at once."`
	Pipeline       int           `default:"1" group:"How" help:"Requests under way on each connection."`
	NewConnections bool          `short:"n" group:"How" help:"A new connection for each request."`
	PerConnection  int           `placeholder:"N" group:"How" help:"Requests on a connection, which then is ended and followed by another."`
	InTurn         bool          `group:"How" help:"Each connection asks for the list's paths in their order, instead of by their weight."`
	Timeout        time.Duration `default:"10s" group:"How" help:"Longest time from a request to its response."`
	OpenRate       int           `default:"50000" group:"How" help:"Connections that are opened in a second at the beginning."`
	Poisson        bool          `group:"How" help:"Arrivals of an open loop are random (a Poisson process), not evenly spaced."`
	Seed           uint64        `default:"1" group:"How" help:"Of what is random."`

	Interface  string         `short:"i" placeholder:"NAME" group:"Network" help:"Ethernet interface that leads to the server. Default: the route's."`
	Source     []netip.Prefix `placeholder:"PREFIX" group:"Network" help:"Addresses that connections come from, in turn: single ones or prefixes, repeated or with commas. They must lead back to this interface. Default: the interface's own, with ports that the kernel leaves alone."`
	Ports      string         `placeholder:"FIRST-LAST" group:"Network" help:"Local ports. Default: those that the kernel leaves alone, or with --source 1024-65535."`
	Generic    bool           `group:"Network" help:"Do not try native XDP."`
	Timestamps bool           `group:"Network" help:"Use TCP timestamps."`
	NoSACK     bool           `name:"no-sack" group:"Network" help:"Do without SACK."`
	Window     int            `default:"262144" group:"Network" help:"Receive window of a connection, octets."`
	Ring       int            `default:"4096" group:"Network" help:"Frames in each ring, a power of two."`
	Spin       time.Duration  `default:"20µs" group:"Network" help:"How long to look for packets before sleeping. More lowers the latency and uses the processor."`

	Quiet bool   `short:"q" group:"Report" help:"No progress."`
	JSON  string `name:"json" placeholder:"FILE" group:"Report" help:"Write the result as JSON, too; - for standard output, instead of text."`
	PNG   string `name:"png" placeholder:"FILE" group:"Report" help:"Draw the result, too."`
}

// open makes the generator.
func (l *load) open(ctx context.Context, think time.Duration) (*xload.Opened, error) {
	cfg := xload.Config{
		Load: xload.Load{
			Fields: l.Header, Status: l.Status, Sum: l.Sum, Connections: l.Connections, Pipeline: l.Pipeline,
			NewConnections: l.NewConnections, PerConnection: l.PerConnection, InTurn: l.InTurn, Think: think, Timeout: l.Timeout, OpenRate: l.OpenRate, Poisson: l.Poisson, Seed: l.Seed,
		},
		Interface: l.Interface, Sources: xload.Expand(l.Source), Generic: l.Generic, Timestamps: l.Timestamps, NoSACK: l.NoSACK,
		Window: l.Window, Ring: l.Ring, Spin: l.Spin,
	}
	if l.PerConnection < 0 {
		return nil, usageError{errors.New("requests on a connection must be positive")}
	}
	if l.Connections < 1 || l.Pipeline < 1 || l.Timeout <= 0 || l.OpenRate < 1 {
		return nil, usageError{errors.New("connections, pipeline, time-out and open rate must be positive")}
	}
	if l.Ports != "" {
		if n, err := fmt.Sscanf(l.Ports, "%d-%d", &cfg.FirstPort, &cfg.LastPort); n != 2 || err != nil || cfg.FirstPort == 0 || cfg.LastPort < cfg.FirstPort {
			return nil, usageError{fmt.Errorf("--ports %q is not of the form FIRST-LAST", l.Ports)}
		}
	}
	if cfg.Spin == 0 {
		cfg.Spin = -1 // 0 means the default there
	}
	path, err := l.resolve(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Targets, err = l.targets(path); err != nil {
		return nil, err
	}
	return xload.Open(cfg)
}

// resolve finds the server of the URL, and returns the URL's path.
func (l *load) resolve(ctx context.Context, cfg *xload.Config) (path string, err error) {
	raw := l.URL
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return "", usageError{fmt.Errorf("%q is no URL", l.URL)}
	}
	if u.Scheme != "http" {
		return "", usageError{fmt.Errorf("%q: only http is spoken here", l.URL)}
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return "", usageError{err}
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return "", err
	}
	cfg.Server = netip.AddrPortFrom(addrs[0].Unmap(), uint16(number))
	cfg.Host = u.Host
	return u.RequestURI(), nil
}

func (l *load) targets(path string) ([]xload.Target, error) {
	switch {
	case l.List != "":
		f, err := os.Open(l.List)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		list, err := xload.ReadTargets(f)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", l.List, err)}
		}
		return under(path, list), nil
	case l.SPECweb96 > 0:
		return under(path, xload.SPECweb96(xload.SPECweb96Dirs(l.SPECweb96), l.Sum)), nil
	}
	return []xload.Target{{Path: path, Weight: 1, Length: -1}}, nil
}

// under puts the path of the URL before those of a list.
func under(path string, list []xload.Target) []xload.Target {
	prefix := strings.TrimRight(path, "/")
	for i := range list {
		list[i].Path = prefix + "/" + strings.TrimLeft(list[i].Path, "/")
	}
	return list
}

// watch shows the progress, and ends the run at Ctrl-C. The channel is to be closed when there is no more.
func (l *load) watch(std *streams, g *xload.Opened) (progress chan xload.Progress, done func()) {
	progress = make(chan xload.Progress, 1)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case p, ok := <-progress:
				if !ok {
					return
				}
				if !l.Quiet {
					fmt.Fprintln(std.err, p)
				}
			case <-signals:
				signal.Stop(signals) // a second one ends it at once
				g.Stop()
			}
		}
	}()
	return progress, func() {
		close(progress)
		<-ended
		signal.Stop(signals)
	}
}

// outcome is a Result or a Found.
type outcome interface {
	WriteText(w io.Writer) error
	WritePNG(w io.Writer) error
}

// report writes results as the flags say.
func (l *load) report(std *streams, r outcome) error {
	if l.JSON != "-" {
		if err := r.WriteText(std.out); err != nil {
			return err
		}
	}
	if l.JSON != "" {
		if err := writeJSON(std, l.JSON, r); err != nil {
			return err
		}
	}
	if l.PNG == "" {
		return nil
	}
	f, err := os.Create(l.PNG)
	if err != nil {
		return err
	}
	return errors.Join(r.WritePNG(f), f.Close())
}

// verdict turns a result into an exit code.
func verdict(r *xload.Result) error {
	switch {
	case r.Errs() > 0 || r.Unasked > 0:
		return errResponses
	case r.Limit.By == xload.ByGenerator:
		return errSelf
	}
	return nil
}
