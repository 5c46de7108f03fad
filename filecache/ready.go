package filecache

import "github.com/xhttpd/xhttpd/internal/httpwire"

// Ready reports whether all octets of r are the same as long as the object is fresh, but for the value of Date, which is at the
// offset dateAt and has httpwire.DateLen octets. Then Left says for which requests of a connection r is the answer.
func (o *Object) Ready(r Response) (dateAt int, ok bool) {
	if r.kind != kind200 || r.noBody || r.fields != fieldsNone && r.fields != fieldsTimeout {
		return 0, false
	}
	t := &o.kinds[r.kind]
	n := 0 // by how much what is before a hole has grown
	for _, h := range t.holes[:t.n] {
		switch {
		case h.what == holeDate && h.arg == 0 && !ok:
			dateAt, ok = int(h.at)+n, true
			n += httpwire.DateLen
		case h.what == holeConnection:
			n += o.connectionLen(&r)
		default:
			return 0, false
		}
	}
	return dateAt, ok
}

// WithoutDate is r for comparisons: the same at any time.
func (r Response) WithoutDate() Response {
	r.Date = 0
	return r
}
