package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Common are the settings that decide whether a machine can run the daemon.
type Common struct {
	Interface string       `required:"" short:"i" placeholder:"IF" help:"Network interface whose receive queues are looked at."`
	Port      uint16       `default:"80" help:"TCP port that is served. Other ports are not touched."`
	Addresses []netip.Addr `name:"address" placeholder:"IP" sep:"," help:"Serve this address only; may be repeated. Without it, all addresses of the interface are served, followed as they change."`
	Backend   Backend      `placeholder:"HOST:PORT|builtin" help:"The server behind, which gets every connection that is not answered from memory. HOST is an address of this machine, 'localhost', or empty for any. Without it, it is whoever listens on the served port. 'builtin' starts a plain file server inside of this process, on an ordinary listener on the served port."`
	Mode      string       `enum:"auto,native,generic" default:"auto" help:"How XDP is attached: 'native' in the driver; 'generic' in the kernel's stack, which works everywhere and gains little; 'auto' tries native first."`
	ZeroCopy  string       `enum:"auto,off" default:"auto" help:"'auto' lets the network card read and write our memory where its driver can; 'off' never."`
	// Segmentation and KernelAbove are here because what they come to depends on the interface.
	Segmentation string      `enum:"auto,off" default:"auto" help:"'auto' sends what is longer than some packets in pieces of up to 64 KiB, which the card cuts (TSO), or the kernel, where packets are copied anyway; 'off' sends each packet by itself."`
	KernelAbove  KernelAbove `placeholder:"SIZE|auto|off" help:"Responses of more octets are the server behind's, which sends them by the kernel's TCP, and their connections with them. 'auto', the default, leaves none to it, but where packets are copied and '--segmentation off' holds: then from 1MiB on, from 256KiB on where the card segments (TSO)."`
	MimeTypes    string      `default:"/etc/mime.types" help:"Table of media types, in the format of Apache's TypesConfig, for '--backend builtin'. Other servers know theirs."`
	Sites
	Ignore []string `placeholder:"CHECK" sep:"," help:"Go on although the check of this name fails; may be repeated."`
}

// The values of Mode, ZeroCopy and Poll that need a name.
const (
	ModeNative  = "native"
	ModeGeneric = "generic"
	ZeroCopyOff = "off"

	BPFAnswersAuto  = "auto"
	SegmentationOff = "off"
	LeaveNever      = "never"

	PollInterrupt = "interrupt"
	PollBusy      = "busy"
	PollSpin      = "spin"
)

// Daemon are the settings of the daemon.
type Daemon struct {
	Common
	Admin Admin `default:"127.0.0.1:9180" help:"Loopback address for /metrics, /healthz and xhttpd purge, or 'off'."`

	QueryIgnored []Prefix `placeholder:"/PATH" sep:"none" help:"For paths that begin so, what follows a '?' does not matter; may be repeated. Without it, requests with a '?' are the server's behind."`

	BPFAnswers      string `name:"bpf-answers" enum:"auto,off" default:"auto" help:"Whether the XDP program answers requests for small objects that are asked for often. 'auto': in native mode, without an access log."`
	BPFAnswersAfter int    `name:"bpf-answers-after" default:"16" help:"How often a request must have come within a second before the XDP program answers it."`
	Poll            string `enum:"auto,interrupt,busy,spin" default:"auto" help:"How packets are waited for: 'interrupt' sleeps until some come; 'busy' never sleeps, calls the driver itself, and has it put off its interrupts (Linux 6.13); 'spin' never sleeps; both want a processor for each queue. 'auto' looks for 20 µs, then sleeps."`

	LeaveConnections string `enum:"auto,never" default:"auto" help:"'auto' leaves most new connections to the server behind at once, without a look at their requests, as long as there are 100 in a second, and a sample says that hardly any of them would be answered from memory; it wants the server behind to listen on the served port itself. 'never' looks at the first request of each."`

	CacheSize Size `default:"256MiB" help:"Memory for files. Units are kB, MB, GB, KiB, MiB, GiB."`
	MaxObject Size `placeholder:"SIZE" help:"Largest file that is held. Without it, an eighth of the cache's size."`
	Disk
	Dynamic    []string `default:"cgi-bin" sep:"," help:"A path that contains this text is never static; may be repeated."`
	SloppyMime bool     `help:"Files of unknown types are text/html. Only with '--backend builtin'."`

	Index     []string      `placeholder:"NAME" sep:"," help:"Name of a file that stands for its directory; may be repeated. Without it, those of Apache's DirectoryIndex, or index.html."`
	Stranger4 Stranger      `default:"auto" help:"Address from which the server behind is asked over IPv4, put on the loopback interface for the time: 'auto' is a random one of 203.0.113.0/24, 'off' is to ask as this host."`
	Stranger6 Stranger      `default:"auto" help:"The same for IPv6: 'auto' is a random one of 2001:db8::/32."`
	Reprove   time.Duration `default:"60s" help:"How long what the server behind has said of a file is taken for true before it is asked again."`
	ProofRate int           `default:"200" help:"About how many files in a second the server behind is asked for at most."`

	KeepAliveTimeout  time.Duration `name:"keepalive-timeout" default:"5s" help:"How long a connection may be idle. Only with '--backend builtin': of other servers it is learnt."`
	KeepAliveRequests int           `name:"keepalive-requests" default:"100" help:"How many further requests a connection may make, 0 for any number. Only with '--backend builtin': of other servers it is learnt."`
	HeadTimeout       time.Duration `default:"20s" help:"How long a request may stay incomplete before the server behind gets it as it is."`
	StallTimeout      time.Duration `default:"5m" help:"How long a client may take nothing of a response before its connection is reset. Apache's Timeout."`
	CongestionControl string        `enum:"auto,bbr,bbr3,cubic,reno" default:"auto" help:"Algorithm of TCP congestion control: bbr, bbr3 (draft-ietf-ccwg-bbr), cubic or reno; 'auto' is the kernel's own (net.ipv4.tcp_congestion_control), cubic if xhttpd lacks that one."`
	MaxConnections    int           `default:"65536" help:"Connections held for each receive queue, of 256 bytes each. When they run short, idle connections are closed, then slow ones reset; those beyond are handed over with their first request."`
	MaxBuffers        int           `default:"4096" help:"Incomplete requests held for each receive queue, of 16 KiB each. When they run short, the oldest are reset; those beyond are handed over."`
	Limits
	AccessLog

	Grace     time.Duration `default:"30s" help:"How long connections may go on after SIGTERM or SIGINT before they are reset. A second signal ends it at once."`
	LogLevel  slog.Level    `default:"info" help:"What is written to stderr, with all that is more serious: debug, info, warn, error."`
	LogFormat string        `enum:"text,json" default:"text" help:"How it is written: text or json."`
}

// Validate reports the first setting that cannot have been meant.
func (c *Common) Validate() error {
	if c.Interface == "" {
		return fmt.Errorf("--interface is empty: give the name of one (ip link lists them)")
	}
	if c.Port == 0 {
		return fmt.Errorf("--port 0: give one from 1 to 65535")
	}
	for _, a := range c.Addresses {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return fmt.Errorf("--address %s: give addresses that clients connect to over the interface, or leave it out for all of them", a)
		}
		if !c.Backend.Takes(a) {
			return fmt.Errorf("--address %s: the server behind, at %s, takes no connections of that address family", a, c.Backend)
		}
	}
	return c.Sites.validate()
}

// Validate reports the first setting that cannot have been meant.
func (c *Daemon) Validate() error {
	if err := c.Common.Validate(); err != nil {
		return err
	}
	if err := c.validateServer(); err != nil {
		return err
	}
	if err := c.Limits.validate(); err != nil {
		return err
	}
	if err := c.AccessLog.validate(); err != nil {
		return err
	}
	if err := c.Disk.validate(); err != nil {
		return err
	}
	switch {
	case c.Reprove < time.Second:
		return fmt.Errorf("--reprove %s: give 1s or more", c.Reprove)
	case c.ProofRate < 1:
		return fmt.Errorf("--proof-rate %d: give 1 or more", c.ProofRate)
	case !family(c.Stranger4, true):
		return fmt.Errorf("--stranger4 %s: give an IPv4 address", c.Stranger4)
	case !family(c.Stranger6, false):
		return fmt.Errorf("--stranger6 %s: give an IPv6 address", c.Stranger6)
	case c.CacheSize < 1<<20:
		return fmt.Errorf("--cache-size %s: give at least 1MiB", c.CacheSize)
	case c.MaxObject > c.CacheSize:
		return fmt.Errorf("--max-object %s: larger than the whole cache (--cache-size %s)", c.MaxObject, c.CacheSize)
	case c.MaxConnections < 1 || c.MaxConnections > maxConnections:
		return fmt.Errorf("--max-connections %d: give from 1 to %d", c.MaxConnections, maxConnections)
	case c.MaxBuffers < 1 || c.MaxBuffers > maxBuffers:
		return fmt.Errorf("--max-buffers %d: give from 1 to %d", c.MaxBuffers, maxBuffers)
	case c.BPFAnswersAfter < 1 || c.BPFAnswersAfter > maxAnswersAfter:
		return fmt.Errorf("--bpf-answers-after %d: give from 1 to %d; for never, '--bpf-answers off'", c.BPFAnswersAfter, maxAnswersAfter)
	case c.Grace < 0:
		return fmt.Errorf("--grace %s: give 0s or more", c.Grace)
	}
	for _, p := range c.QueryIgnored {
		if p.Host != "" {
			return fmt.Errorf("--query-ignored %s: give a path, without a host", p)
		}
	}
	for _, text := range c.Dynamic {
		if text == "" {
			return fmt.Errorf("--dynamic: the empty text is in every path, so that nothing would be static")
		}
	}
	return nil
}

// family reports whether s is an address of the family that it is for, or none.
func family(s Stranger, four bool) bool { return !s.Addr().IsValid() || s.Addr().Is4() == four }

// validateServer judges what must fit the server behind.
func (c *Daemon) validateServer() error {
	switch {
	case c.Backend.Builtin && len(c.Roots) != 1:
		return fmt.Errorf("--root: the builtin server serves one directory; give it")
	case c.Backend.Builtin && c.ApacheCommand != "":
		return fmt.Errorf("--apache-command: there is no Apache behind with '--backend builtin'")
	case c.Admin.On() && c.Admin.Port() == c.Backend.Port(c.Port):
		return fmt.Errorf("--admin %s: the server behind listens on that port; give another", c.Admin)
	case c.SloppyMime && !c.Backend.Builtin:
		return fmt.Errorf("--sloppy-mime: another server knows its types itself; this is for '--backend builtin'")
	case c.KeepAliveTimeout%time.Second != 0 || c.KeepAliveTimeout <= 0 || c.KeepAliveTimeout > maxTimeout:
		return fmt.Errorf("--keepalive-timeout %s: give whole seconds, from 1s to %s", c.KeepAliveTimeout, maxTimeout)
	case c.KeepAliveRequests < 0 || c.KeepAliveRequests > maxKeepAliveRequests:
		return fmt.Errorf("--keepalive-requests %d: give from 0 (any number) to %d", c.KeepAliveRequests, maxKeepAliveRequests)
	case c.HeadTimeout < time.Second || c.HeadTimeout > maxTimeout:
		return fmt.Errorf("--head-timeout %s: give from 1s to %s", c.HeadTimeout, maxTimeout)
	case c.StallTimeout < time.Second || c.StallTimeout > maxTimeout:
		return fmt.Errorf("--stall-timeout %s: give from 1s to %s", c.StallTimeout, maxTimeout)
	}
	return nil
}

// What others can hold: tcpstate its times in 16 bits, filecache the number of requests left likewise, dataplane that of requests
// in a second; 16 GiB of connections and of buffers for each queue are more than anybody has.
const (
	maxTimeout           = time.Hour
	maxKeepAliveRequests = 65535
	maxAnswersAfter      = 65535
	maxConnections       = 1 << 26
	maxBuffers           = 1 << 20
)
