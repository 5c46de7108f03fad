package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/backend"
	"github.com/xhttpd/xhttpd/internal/config"
)

type cli struct {
	Run     runCmd     `cmd:"" help:"Serve. Stops on SIGTERM or SIGINT, handing its connections to the server behind; a second signal stops it at once."`
	Check   checkCmd   `cmd:"" help:"Say whether and how this machine could run xhttpd, and what to do about what it lacks."`
	Version versionCmd `cmd:"" help:"Print versions."`
}

// defaults are what the command line's help shows.
func (c *cli) defaults() kong.Option {
	return kong.Vars{"builtin": backend.Name}
}

// where are the settings that both run and check need.
type where struct {
	Interface string          `required:"" short:"i" placeholder:"IF" help:"Network interface whose packets are looked at."`
	Port      uint16          `default:"80" help:"TCP port that is served."`
	Address   []netip.Addr    `placeholder:"IP" help:"Address that is served; may be repeated. Default: all addresses of the interface, followed as they change."`
	Backend   config.Endpoint `default:":0" placeholder:"HOST:PORT" help:"Where the server behind listens, if not on the served address and port themselves; or \"${builtin}\" for a plain file server inside of this process."`
	Mode      string          `default:"auto" enum:"auto,native,generic" help:"How the XDP program is attached: ${enum}. auto tries native first."`
}

type runCmd struct {
	where
	Root  string `required:"" type:"existingdir" placeholder:"DIR" help:"Directory of the static objects: the server's document root."`
	Admin string `default:"127.0.0.1:9180" placeholder:"HOST:PORT" help:"Loopback address for /metrics and /healthz."`

	CacheSize  config.Size `default:"256MiB" help:"Memory for objects."`
	MaxObject  config.Size `default:"0" help:"Largest object that is taken; 0 means an eighth of the cache."`
	Dynamic    []string    `default:"cgi-bin,.." help:"Substrings of a URL that make it dynamic."`
	MimeTypes  string      `default:"/etc/mime.types" type:"path" placeholder:"FILE" help:"Table of media types, in the format of Apache's TypesConfig. Files of other types are the server's."`
	SloppyMime bool        `help:"Files of unknown types are text/html. Only with --backend ${builtin}."`

	KeepaliveTimeout  time.Duration `default:"5s" help:"How long a connection may be idle; the same as the server's KeepAliveTimeout."`
	KeepaliveRequests int           `default:"100" help:"How many further requests a connection may make; the same as the server's MaxKeepAliveRequests. Negative: any number."`
	HeadTimeout       time.Duration `default:"20s" help:"How long a request may stay incomplete before the connection is handed over."`
	MaxConnections    int           `default:"65536" help:"Connections held in each queue's loop; those beyond are handed over."`
	MaxBuffers        int           `default:"4096" help:"Incomplete requests held in each queue's loop, of 16 KiB each; those beyond are handed over."`
	Grace             time.Duration `default:"30s" help:"How long to wait for connections when stopping."`

	LogLevel  slog.Level `default:"info" help:"debug, info, warn or error."`
	LogFormat string     `default:"text" enum:"text,json" help:"${enum}."`
}

// Validate is called by kong.
func (w *where) Validate() error {
	if w.Port == 0 {
		return errors.New("--port must not be 0")
	}
	for _, a := range w.Address {
		if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return fmt.Errorf("--address %v is not an address that an interface receives packets for", a)
		}
	}
	if w.Backend.Builtin && w.Backend.Port() != 0 {
		return errors.New("--backend is either builtin or an address")
	}
	return nil
}

// Validate is called by kong.
func (r *runCmd) Validate() error {
	host, _, err := net.SplitHostPort(r.Admin)
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return fmt.Errorf("--admin %s is not a loopback address: whoever reaches it sees everything; put a proxy with access control in front of it instead", r.Admin)
	}
	switch {
	case r.CacheSize < 1<<20:
		return errors.New("--cache-size must be at least 1MiB")
	case r.MaxConnections < 1 || r.MaxConnections > 1<<26:
		return errors.New("--max-connections must be between 1 and 67108864")
	case r.MaxBuffers < 1 || r.MaxBuffers > 1<<20:
		return errors.New("--max-buffers must be between 1 and 1048576")
	case r.KeepaliveTimeout < time.Second || r.KeepaliveTimeout > time.Hour:
		return errors.New("--keepalive-timeout must be between 1s and 1h")
	case r.HeadTimeout < time.Second || r.HeadTimeout > time.Hour:
		return errors.New("--head-timeout must be between 1s and 1h")
	case r.Grace < 0:
		return errors.New("--grace must not be negative")
	case r.SloppyMime && !r.Backend.Builtin:
		return errors.New("--sloppy-mime is only for --backend builtin: another server knows its types itself")
	}
	return nil
}

func (r *runCmd) logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: r.LogLevel}
	if r.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

type versionCmd struct{}

// Run prints versions.
func (versionCmd) Run(std *streams) error {
	version := "unknown"
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return os.NewSyscallError("uname", err)
	}
	_, err := fmt.Fprintf(std.out, "xhttpd %s%s\n%s %s/%s\nLinux %s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH,
		unix.ByteSliceToString(u.Release[:]))
	return err
}

func portString(p uint16) string { return strconv.Itoa(int(p)) }
