package tcpstate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// A packet test is a file testdata/*.pkt: one exchange with a peer, in virtual time, read from top to bottom.
//
//	# RFC 5961, 3.2: comments; the first say what is shown.
//	config stall=0 control=cubic          settings, before the first segment (see configure)
//	+0   < S 0:0(0) win 65535 <mss 1000>  the peer sends, so many ms after the line before
//	+0   > S. 0:0(0) ack 1                we send that, then: as much later as said, give or take 2 ms
//	+10  < . 1:101(100) ack 1 win 65535   flags as in tcpdump, with E for ECE and W for CWR; seq:end(octets)
//	+0   write 500                        the request is decided, and answered by 500 octets
//	+0   > P. 1:501(500) ack 101
//	+0   state ESTABLISHED                what is so now; see word for all of them
//
// Sequence numbers are relative to both SYNs, timestamps of ours to that of our SYN/ACK. What a line on our segments does
// not mention (win, options) is not compared. Whatever we send must be in a line, up to the last line; "+N > nothing"
// says that until then there is nothing. If timestamps were agreed upon, the peer's segments carry them without saying.
func TestPackets(t *testing.T) {
	files, err := filepath.Glob("testdata/*.pkt")
	if err != nil || len(files) < 120 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".pkt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# ") {
				t.Error("a packet test begins by saying what it shows")
			}
			p := &pkt{T: t, setup: setup{cfg: DefaultConfig(), irs: 7_000_000, now: start, flow: flow4, stack: StackConfig{Flights: 1, Runs: 1000}}}
			for n, line := range strings.Split(string(text), "\n") {
				p.line, p.text = n+1, line
				p.step(line)
			}
			p.nothingMore()
		})
	}
}

// pkt is the exchange of one file.
type pkt struct {
	*testing.T
	setup
	line int
	text string // of the line

	l      *Listener
	st     *Stack
	c      Conn
	open   bool
	buf    RecvBuf
	iss    wire.Seq
	tsBase uint32 // our SYN/ACK's timestamp
	tsEcr  uint32 // what the peer echoes
	ts     bool

	in     Input
	fate   Fate
	accept Acceptance
	sent   []sentSegment
	log    []string
}

type sentSegment struct {
	at  Time
	out Transmit
}

func (p *pkt) fail(format string, args ...any) {
	p.Helper()
	p.Fatalf("line %d: %s\n\t%s\nso far:\n\t%s", p.line, p.text, fmt.Sprintf(format, args...), strings.Join(p.log, "\n\t"))
}

func (p *pkt) logf(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf("%8.1f ms  ", float64(p.now-start)/float64(Millisecond))+fmt.Sprintf(format, args...))
}

// step does what one line says.
func (p *pkt) step(line string) {
	p.Helper()
	line, _, _ = strings.Cut(line, "#")
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	if words[0] == "config" {
		p.configure(words[1:])
		return
	}
	var ms float64
	if _, err := fmt.Sscanf(words[0], "+%g", &ms); err != nil || len(words) < 2 {
		p.fail("begins with neither +TIME nor config")
	}
	at := p.now + Time(ms*float64(Millisecond))
	if words[1] == ">" && strings.Join(words[2:], " ") != "nothing" {
		p.expect(at, words[2:])
		return
	}
	p.nothingMore()
	p.advance(at)
	if words[1] != ">" {
		p.nothingMore()
	}
	p.now = at
	switch words[1] {
	case "<":
		p.receive(words[2:])
	case ">":
		p.nothingMore()
	default:
		p.word(words[1], words[2:])
	}
	p.poll()
}

// nothingMore asserts that all that was sent was expected.
func (p *pkt) nothingMore() {
	p.Helper()
	if len(p.sent) > 0 {
		p.fail("before that, this was sent and not expected: %s", p.describe(&p.sent[0].out, nil))
	}
}

// expect waits for the next segment of ours, which must come at about at.
func (p *pkt) expect(at Time, words []string) {
	p.Helper()
	const tolerance = 2 * Millisecond
	if len(p.sent) == 0 {
		p.advance(at + tolerance)
	}
	if len(p.sent) == 0 {
		p.fail("nothing was sent")
	}
	s := p.sent[0]
	p.sent = p.sent[1:]
	want := strings.Join(words, " ")
	if got := p.describe(&s.out, words); got != want {
		p.fail("sent %s", got)
	}
	if s.at < at-tolerance || s.at > at+tolerance {
		p.fail("sent %.1f ms off", float64(s.at-at)/float64(Millisecond))
	}
	p.now = max(p.now, s.at)
}

// advance lets time pass up to at, timers running out as they do, and stops where something is sent.
func (p *pkt) advance(at Time) {
	for p.open && len(p.sent) == 0 {
		d := p.c.Deadline(p.st)
		if d == 0 || d > at {
			break
		}
		p.now = max(p.now, d)
		if f := p.c.OnTimeout(p.st, p.now); f != Alive {
			p.fate = f
			p.logf("fate %v", f)
		}
		p.poll()
	}
}

// poll takes all that is to be sent now.
func (p *pkt) poll() {
	var out Transmit
	for p.open && p.c.PollTransmit(p.st, p.now, &out) {
		p.logf("> %s", p.describe(&out, nil))
		p.sent = append(p.sent, sentSegment{p.now, out})
		if out.Options.HasTS {
			p.tsEcr = out.Options.TSVal
		}
	}
	if p.open {
		if err := invariants(p.st, &p.c); err != nil {
			p.fail("%v", err)
		}
	}
}

// receive gives us a segment of the peer.
func (p *pkt) receive(words []string) {
	p.Helper()
	if p.l == nil {
		p.l, p.st = NewListener(p.cfg, key), NewStack(p.stack)
	}
	seg := p.segment(words)
	p.logf("< %s", strings.Join(words, " "))
	switch {
	case p.open:
		p.take(&seg)
	case seg.Flags.Has(wire.SYN):
		p.synAck(&seg)
	default:
		p.accept = p.l.Accept(&p.flow, &seg, p.now, &p.c)
		if p.accept == AcceptOpened {
			p.open = true
			p.take(&seg)
		}
	}
}

func (p *pkt) synAck(seg *wire.Segment) {
	p.Helper()
	p.irs = seg.Seq
	var out Transmit
	if v := p.l.OnSYN(&p.flow, seg, p.now, &out); v != SYNReply {
		p.logf("SYN verdict %d", v)
		return
	}
	p.iss, p.ts = out.Seq, out.Options.HasTS
	p.tsBase, p.tsEcr = out.Options.TSVal, out.Options.TSVal
	p.logf("> %s", p.describe(&out, nil))
	p.sent = append(p.sent, sentSegment{p.now, out})
}

// take does what the data plane does: what is in order waits to be decided.
func (p *pkt) take(seg *wire.Segment) {
	p.in = p.c.OnSegment(p.st, seg, p.now)
	if p.in.Fate != Alive {
		p.fate = p.in.Fate
	}
	if p.in.NewSYN {
		p.open = false
		p.st.Release(&p.c)
		p.synAck(seg)
		return
	}
	if len(p.in.Data) > 0 {
		p.buf.Insert(p.in.Off, p.in.Data)
		p.tell()
	}
}

func (p *pkt) tell() {
	var spans [3]wire.Span
	p.c.Received(uint32(len(p.buf.Contiguous())), p.buf.Spans(spans[:0], p.c.Boundary()))
}
