package tcpstate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// configure reads settings: times in ms, switches on and off.
func (p *pkt) configure(words []string) {
	p.Helper()
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		n, _ := strconv.Atoi(value)
		ms := Time(n) * Millisecond
		on := value == "on"
		switch name {
		case "keepalive":
			p.cfg.KeepAliveTimeout = ms
		case "head":
			p.cfg.HeadTimeout = ms
		case "stall":
			p.cfg.StallTimeout = ms
		case "linger":
			p.cfg.LingerTimeout = ms
		case "timewait":
			p.cfg.TimeWait = ms
		case "mss":
			p.cfg.MSS4, p.cfg.MSS6 = uint16(n), uint16(n)
		case "window":
			p.cfg.Window = uint32(n)
		case "wscale":
			p.cfg.WScale = uint8(n)
		case "ts":
			p.cfg.Timestamps = on
		case "sack":
			p.cfg.SACK = on
		case "scaling":
			p.cfg.WindowScaling = on
		case "ecn":
			p.cfg.ECN = on
		case "ipv6":
			p.flow = flow6
		case "irs":
			p.irs = wire.Seq(uint32(n))
		case "control":
			control, ok := ParseControl(value)
			if !ok {
				p.fail("no algorithm %q", value)
			}
			p.stack.Control = control
		default:
			p.fail("no setting %q", name)
		}
	}
}

var flagLetters = []struct {
	letter byte
	flag   wire.Flags
}{{'F', wire.FIN}, {'S', wire.SYN}, {'R', wire.RST}, {'P', wire.PSH}, {'.', wire.ACK}, {'U', wire.URG}, {'E', wire.ECE}, {'W', wire.CWR}}

// segment reads a segment of the peer: FLAGS SEQ:END(LEN) [ack N] [win N] [ce] [<options>].
func (p *pkt) segment(words []string) (s wire.Segment) {
	p.Helper()
	if len(words) < 2 {
		p.fail("a segment has flags and numbers")
	}
	for _, f := range flagLetters {
		if strings.IndexByte(words[0], f.letter) >= 0 {
			s.Flags |= f.flag
		}
	}
	var lo, hi, n uint32
	if _, err := fmt.Sscanf(words[1], "%d:%d(%d)", &lo, &hi, &n); err != nil || hi-lo != n {
		p.fail("%q is not SEQ:END(LEN)", words[1])
	}
	s.Seq, s.Payload = p.irs.Add(lo), make([]byte, n)
	rest, options, _ := strings.Cut(strings.Join(words[2:], " "), "<")
	fields := strings.Fields(rest)
	for k := 0; k < len(fields); k++ {
		switch fields[k] {
		case "ack":
			k++
			s.Ack = p.iss.Add(p.number(fields, k))
		case "win":
			k++
			s.Wnd = uint16(p.number(fields, k))
		case "ce":
			s.CE = true
		default:
			p.fail("%q in a segment", fields[k])
		}
	}
	p.options(strings.TrimSuffix(options, ">"), &s.Options)
	if o := &s.Options; p.ts && !o.HasTS && !s.Flags.Has(wire.SYN) && !strings.Contains(options, "noTS") {
		o.HasTS, o.TSVal, o.TSEcr = true, p.clock(), p.tsEcr
	}
	return s
}

// clock is the peer's timestamp.
func (p *pkt) clock() uint32 { return 1000 + uint32((p.now-start)/Millisecond) }

func (p *pkt) number(fields []string, k int) uint32 {
	p.Helper()
	if k >= len(fields) {
		p.fail("a number is missing")
	}
	n, err := strconv.ParseInt(fields[k], 10, 64)
	if err != nil {
		p.fail("%q is not a number", fields[k])
	}
	return uint32(n)
}

// options reads what stands between < and >: mss N, wscale N, sackOK, TS val N ecr N, sack LO:HI …, noTS.
func (p *pkt) options(text string, o *wire.Options) {
	p.Helper()
	for option := range strings.SplitSeq(text, ",") {
		f := strings.Fields(option)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "mss":
			o.HasMSS, o.MSS = true, uint16(p.number(f, 1))
		case "wscale":
			o.HasWScale, o.WScale = true, uint8(p.number(f, 1))
		case "sackOK":
			o.SACKPermitted = true
		case "TS":
			o.HasTS, o.TSVal, o.TSEcr = true, p.number(f, 2), p.tsEcr
			if len(f) > 4 {
				o.TSEcr = p.tsBase + p.number(f, 4)
			}
		case "sack":
			for _, block := range f[1:] {
				var lo, hi uint32
				if _, err := fmt.Sscanf(block, "%d:%d", &lo, &hi); err != nil {
					p.fail("%q is not LO:HI", block)
				}
				o.SACK[o.NSACK] = wire.Span{Lo: p.iss.Add(lo), Hi: p.iss.Add(hi)}
				o.NSACK++
			}
		case "noTS":
		default:
			p.fail("no option %q", f[0])
		}
	}
}

// describe writes a segment of ours, with as much as like mentions, or all of it if like is nil.
func (p *pkt) describe(t *Transmit, like []string) string {
	mentions := func(word string) bool {
		return like == nil || strings.Contains(strings.Join(like, " "), word)
	}
	var b strings.Builder
	for _, f := range flagLetters {
		if t.Flags.Has(f.flag) {
			b.WriteByte(f.letter)
		}
	}
	at := int32(t.Seq - p.iss)
	fmt.Fprintf(&b, " %d:%d(%d)", at, at+int32(t.Len), t.Len)
	if t.Flags.Has(wire.ACK) {
		fmt.Fprintf(&b, " ack %d", t.Ack-p.irs)
	}
	if mentions("win ") {
		fmt.Fprintf(&b, " win %d", t.Wnd)
	}
	if t.ECT && mentions("ect") {
		b.WriteString(" ect")
	}
	o := &t.Options
	var list []string
	add := func(word, text string) {
		if mentions(word) {
			list = append(list, text)
		}
	}
	if o.HasMSS {
		add("mss", fmt.Sprintf("mss %d", o.MSS))
	}
	if o.HasWScale {
		add("wscale", fmt.Sprintf("wscale %d", o.WScale))
	}
	if o.SACKPermitted {
		add("sackOK", "sackOK")
	}
	if o.HasTS {
		add("TS", fmt.Sprintf("TS val %d ecr %d", o.TSVal-p.tsBase, o.TSEcr))
	}
	if o.NSACK > 0 {
		blocks := "sack"
		for _, s := range o.SACK[:o.NSACK] {
			blocks += fmt.Sprintf(" %d:%d", s.Lo-p.irs, s.Hi-p.irs)
		}
		add("sack ", blocks)
	}
	if len(list) > 0 || like != nil && mentions("<") {
		b.WriteString(" <" + strings.Join(list, ", ") + ">")
	}
	return b.String()
}

// word does or asserts something.
func (p *pkt) word(name string, args []string) {
	p.Helper()
	arg := strings.Join(args, " ")
	is := func(got any) {
		p.Helper()
		if fmt.Sprint(got) != arg {
			p.fail("it is %v", got)
		}
	}
	switch name {
	case "write": // the request is decided, and so many octets answer it
		p.consume(p.c.Pending())
		p.c.Write(p.number(args, 0))
	case "consume": // so many octets are decided
		p.consume(p.number(args, 0))
	case "close":
		p.consume(p.c.Pending())
		p.c.Close()
	case "abort":
		p.c.Abort()
	case "discard":
		p.c.Discard()
	case "toobig": // a router says that the segment at N did not fit M octets
		p.c.OnTooBig(p.st, p.iss.Add(p.number(args, 0)), p.number(args, 1), p.now)
	case "state":
		is(p.c.State())
	case "fate": // the last that was not "alive"
		is(p.fate)
	case "drop": // of the last segment
		is(p.in.Drop)
	case "pending":
		is(p.c.Pending())
	case "acked":
		is(p.c.AckedOff())
	case "quiescent":
		is(p.c.Quiescent())
	case "finished":
		is(p.c.Finished())
	case "peer-closed":
		is(p.c.PeerClosed())
	case "accept": // of the last segment before there was a connection
		is([...]string{"unknown", "handshake", "early", "opened"}[p.accept])
	case "opened":
		is(p.open)
	case "handover": // seq and ack that the next TCP gets
		h := p.c.Handover()
		is(fmt.Sprintf("seq %d ack %d mss %d", h.Seq-p.irs, h.Ack-p.iss, h.MSS))
	case "segments": // octets of payload that a segment may have
		is(p.c.payloadMSS())
	default:
		p.fail("no word %q", name)
	}
}

func (p *pkt) consume(n uint32) {
	p.c.Consume(n)
	p.buf.Consume(int(n))
	p.tell()
}
