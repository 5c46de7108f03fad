package accesslog

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/xhttpd/xhttpd/internal/hits"
)

// Options say what is written where.
type Options struct {
	File   string // appended to, made with mode 0640
	Format *Format
	// Server returns what the server behind calls the site that answers. host is the name by which the client has asked, in lower
	// case, without port; "" if there is none. It is called by Run alone, for a format that needs it.
	Server func(local netip.AddrPort, host string) Server
	// Monotonic is the clock of the rings' times: CLOCK_MONOTONIC in ns.
	Monotonic func() int64
	Logger    *slog.Logger
}

// Server is how the server behind names a site.
type Server struct {
	Name      string // %v
	Port      uint16 // %p
	Canonical bool   // %V is Name, too, by whatever name the client has asked
}

// Log writes the access log.
type Log struct {
	opts   Options
	file   *file
	loops  []joiner
	line   line
	reopen chan struct{}

	failing  bool      // the last write has failed
	told     time.Time // when it was last said
	unsaid   uint64    // lines lost since then
	written  atomic.Uint64
	dropped  atomic.Uint64
	lastLook time.Time
}

// Open opens the file. Run writes.
func Open(opts Options, rings []*hits.Ring) (*Log, error) {
	f, err := openFile(opts.File)
	if err != nil {
		return nil, err
	}
	l := &Log{opts: opts, file: f, reopen: make(chan struct{}, 1)}
	l.line.Options = &l.opts
	for _, r := range rings {
		l.loops = append(l.loops, joiner{ring: r, pending: map[uint32]*hits.Begin{}})
	}
	return l, nil
}

// Reopen makes the log go on in a new file, if the old one was renamed. Any goroutine may call it.
func (l *Log) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default: // one that has not been heard does for both
	}
}

// Written is how many lines were given to the kernel, Lost how many could not be. Any goroutine may call them.
func (l *Log) Written() uint64 { return l.written.Load() }

// Lost is how many lines could not be written.
func (l *Log) Lost() uint64 { return l.dropped.Load() }

const (
	pollEvery = 10 * time.Millisecond // the producers wake nobody; a ring holds more than they tell in that time
	lookEvery = time.Second           // whether another file has the name
	sayEvery  = time.Minute           // that lines are lost
)

// Run writes until ctx ends, and then whatever the rings hold still.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	defer func() { l.file.f.Close() }()
	for {
		select {
		case <-ctx.Done():
			l.drain()
			return
		case <-l.reopen:
			l.drain() // the old file gets what was before
			l.goOn()
		case now := <-tick.C:
			l.drain()
			if now.Sub(l.lastLook) >= lookEvery {
				l.lastLook = now
				if l.file.moved() {
					l.goOn()
				}
			}
		}
	}
}

// drain writes all that the loops have told.
func (l *Log) drain() {
	offset := time.Now().Add(-time.Duration(l.opts.Monotonic()))
	for k := range l.loops {
		l.loops[k].join(func(b *hits.Begin, e *hits.End) {
			l.line.set(b, e, offset.Add(time.Duration(b.At)))
			l.file.buf = l.opts.Format.append(l.file.buf, &l.line)
			if len(l.file.buf) >= flushAt {
				l.flush()
			}
		})
	}
	l.flush()
}

func (l *Log) flush() {
	if len(l.file.buf) == 0 {
		return
	}
	written, lost, err := l.file.flush()
	l.written.Add(uint64(written))
	l.lose(lost)
	switch {
	case err != nil:
		l.complain("the access log cannot be written: lines are lost", err)
		l.failing = true
	case l.failing:
		l.failing = false
		l.opts.Logger.Info("the access log is written again", "file", l.opts.File, "lost", l.dropped.Load())
	}
}

// goOn changes to the file that has the name now.
func (l *Log) goOn() {
	lost, err := l.file.reopen()
	l.lose(lost)
	if err != nil {
		l.complain("the access log goes on in the old file", err)
		return
	}
	l.opts.Logger.Debug("the access log was opened anew", "file", l.opts.File)
}

func (l *Log) lose(n int) {
	l.dropped.Add(uint64(n))
	l.unsaid += uint64(n)
}

// complain says what is wrong, once in a while.
func (l *Log) complain(what string, err error) {
	if now := time.Now(); now.Sub(l.told) >= sayEvery {
		l.opts.Logger.Error(what, "file", l.opts.File, "err", err, "lost", l.unsaid)
		l.told, l.unsaid = now, 0
	}
}
