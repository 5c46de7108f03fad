package filecache

import "github.com/xhttpd/xhttpd/internal/httpwire"

// Moving says where the octets of a response are that differ from one time that it is given to the next.
type Moving struct {
	Date      int // of httpwire.DateLen octets
	Max       int // of Response.Max, in decimal
	MaxDigits int // 0: it is not said
}

// Ready reports whether all octets of r are the same as long as the object is fresh, but for those in Moving. Then Left says for which
// requests of a connection r is the answer, WithMax with which number.
func (o *Object) Ready(r Response) (m Moving, ok bool) {
	if r.kind != kind200 || r.noBody || r.fields == fieldsClose {
		return m, false
	}
	t := &o.kinds[r.kind]
	n := 0 // by how much what is before a hole has grown
	for _, h := range t.holes[:t.n] {
		switch {
		case h.what == holeDate && h.arg == 0 && !ok:
			m.Date, ok = int(h.at)+n, true
			n += httpwire.DateLen
		case h.what == holeConnection:
			if r.fields == fieldsMax {
				m.Max, m.MaxDigits = int(h.at)+n+len(fieldKeepAlive)+len(o.keepAlive.timeout)+len(fieldMax), decimalLen(uint64(r.Max))
			}
			n += o.connectionLen(&r)
		default:
			return m, false
		}
	}
	return m, ok
}

// WithoutDate is r for comparisons: the same at any time.
func (r Response) WithoutDate() Response {
	r.Date = 0
	return r
}

// WithMax is r when the connection may carry so many requests more, if it says how many.
func (r Response) WithMax(left int) Response {
	if r.fields == fieldsMax {
		r.Max = uint16(left)
	}
	return r
}
