package dataplane

import (
	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/hits"
)

// tellBegin tells the access log of a response of s that begins, to the request with this head. It returns what the log calls it,
// or 0 if the log has no room for it.
func (l *Loop) tellBegin(s *slot, o *filecache.Object, w *sending, head []byte) uint32 {
	r := w.response
	b := hits.Begin{
		At: int64(l.now), Local: s.flow.Local, Remote: s.flow.Remote, LocalPort: s.flow.LocalPort, RemotePort: s.flow.RemotePort,
		Status: uint16(r.Status()), Before: s.served, Left: int32(o.Left(int(s.served))), Body: o.BodyLen(r), Len: o.Len(r), Closes: r.Closes(),
	}
	var section int
	if l.cfg.Hits.Sections() {
		section = int(o.HeadLen(r))
	}
	id, fill := l.cfg.Hits.Begin(&b, head, section)
	if len(fill) > 0 {
		o.ReadAt(r, fill, 0)
	}
	return id
}

// tellEnd tells the access log that a response of which the log knows has ended, when the octets of the stream before sent were
// sent. As with Apache, for which a response has ended when the kernel has taken it, one that was sent and not acknowledged
// was not aborted.
func (a *workArena) tellEnd(w *work, r *sending, sent uint32) {
	e := hits.End{ID: r.hit, At: int64(a.now), Sent: uint64(r.end - r.start)}
	if left := int32(r.end - sent); left > 0 {
		e.Aborted = true
		e.Sent -= min(uint64(left), e.Sent)
	}
	if r.response.OnDisk() {
		reader := &a.disk.readers[w.reader]
		e.Sent += reader.pos
		e.Aborted = e.Sent < reader.length
	}
	a.hits.End(&e)
}
