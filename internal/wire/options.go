package wire

import "encoding/binary"

// TCP option kinds (RFC 9293, 3.2; RFC 7323; RFC 2018).
const (
	optEnd           = 0
	optNop           = 1
	optMSS           = 2
	optWScale        = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTimestamps    = 8
)

// plainTS is how the options of nearly every segment of a connection with timestamps begin (RFC 7323, appendix A).
const plainTS = optNop<<24 | optNop<<16 | optTimestamps<<8 | 10

// MaxSACK is how many SACK blocks fit beside timestamps; a fourth fits without them (RFC 2018, 3).
const MaxSACK = 4

// Span is the sequence space [Lo, Hi).
type Span struct{ Lo, Hi Seq }

// Options are the TCP options that xhttpd knows. A field has a meaning only if its Has flag is set.
type Options struct {
	HasMSS, HasWScale, HasTS, SACKPermitted bool

	WScale       uint8  // shift count as received, not yet limited to 14
	NSACK        uint8  // valid entries of SACK
	MSS          uint16 // octets
	TSVal, TSEcr uint32
	SACK         [MaxSACK]Span
}

// parseOptions reads the option bytes b of a segment. Whatever is odd is skipped as RFC 9293, 3.1 asks: an
// option of a wrong length is ignored, and an option whose length is below 2 or passes the end ends the list.
// SACK blocks beyond MaxSACK cannot occur: 40 octets hold four.
func (o *Options) parse(b []byte) {
	*o = Options{}
	if len(b) == 12 && binary.BigEndian.Uint32(b) == plainTS {
		o.HasTS = true
		o.TSVal = binary.BigEndian.Uint32(b[4:])
		o.TSEcr = binary.BigEndian.Uint32(b[8:])
		return
	}
	for len(b) > 0 {
		switch b[0] {
		case optEnd:
			return
		case optNop:
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		o.parseOne(b[0], b[2:b[1]])
		b = b[b[1]:]
	}
}

func (o *Options) parseOne(kind byte, v []byte) {
	switch {
	case kind == optMSS && len(v) == 2:
		o.HasMSS = true
		o.MSS = binary.BigEndian.Uint16(v)
	case kind == optWScale && len(v) == 1:
		o.HasWScale = true
		o.WScale = v[0]
	case kind == optSACKPermitted && len(v) == 0:
		o.SACKPermitted = true
	case kind == optTimestamps && len(v) == 8:
		o.HasTS = true
		o.TSVal = binary.BigEndian.Uint32(v)
		o.TSEcr = binary.BigEndian.Uint32(v[4:])
	case kind == optSACK && len(v) >= 8 && len(v)%8 == 0:
		o.NSACK = 0
		for ; len(v) > 0 && o.NSACK < MaxSACK; v = v[8:] {
			o.SACK[o.NSACK] = Span{Seq(binary.BigEndian.Uint32(v)), Seq(binary.BigEndian.Uint32(v[4:]))}
			o.NSACK++
		}
	}
}

// put writes the options at the start of b, padded to a multiple of four octets, and returns their length,
// at most 40. SACK blocks that do not fit are left out.
func (o *Options) put(b []byte) int {
	if o.onlyTS() {
		_ = b[11]
		binary.BigEndian.PutUint32(b, plainTS)
		binary.BigEndian.PutUint32(b[4:], o.TSVal)
		binary.BigEndian.PutUint32(b[8:], o.TSEcr)
		return 12
	}
	n := 0
	if o.HasMSS {
		b[0], b[1] = optMSS, 4
		binary.BigEndian.PutUint16(b[2:], o.MSS)
		n = 4
	}
	if o.HasTS {
		b[n], b[n+1], b[n+2], b[n+3] = optNop, optNop, optTimestamps, 10
		if o.SACKPermitted {
			b[n], b[n+1] = optSACKPermitted, 2
		}
		binary.BigEndian.PutUint32(b[n+4:], o.TSVal)
		binary.BigEndian.PutUint32(b[n+8:], o.TSEcr)
		n += 12
	} else if o.SACKPermitted {
		b[n], b[n+1], b[n+2], b[n+3] = optNop, optNop, optSACKPermitted, 2
		n += 4
	}
	if o.HasWScale {
		b[n], b[n+1], b[n+2], b[n+3] = optNop, optWScale, 3, o.WScale
		n += 4
	}
	if blocks := min(int(o.NSACK), (40-n-4)/8); blocks > 0 {
		b[n], b[n+1], b[n+2], b[n+3] = optNop, optNop, optSACK, byte(2+8*blocks)
		n += 4
		for _, s := range o.SACK[:blocks] {
			binary.BigEndian.PutUint32(b[n:], uint32(s.Lo))
			binary.BigEndian.PutUint32(b[n+4:], uint32(s.Hi))
			n += 8
		}
	}
	return n
}

// onlyTS reports whether there are timestamps and nothing else.
func (o *Options) onlyTS() bool {
	return o.HasTS && !o.HasMSS && !o.SACKPermitted && !o.HasWScale && o.NSACK == 0
}

// Len returns the octets that Build will use for the options.
func (o *Options) Len() int {
	if o.onlyTS() {
		return 12
	}
	var b [40]byte
	return o.put(b[:])
}
