package filecache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/precondition"
)

// proof is what the server behind has answered when it was asked for a target for the first time. Only a second look, at least a
// second later, makes an object of it: what is then different, but for the time, is different in each response.
type proof struct {
	o       *Object
	due     time.Time // of the second look
	date    int64     // of the first
	answers [numKinds]answer
	plain   answer // to a request that says nothing of the connection; status 0: not asked
}

// between is how long after the first look the second one comes: Date is another by then.
const between = 1100 * time.Millisecond

// firstLook asks the server behind in all ways that matter. The answer to GET must be one that may be stored; those of the other
// kinds that are not of the same representation stay its own.
func (c *Cache) firstLook(ctx context.Context, o *Object) (*proof, Refusal) {
	p := &proof{o: o, due: time.Now().Add(between)}
	a := asker{backend: c.opts.Backend, about: o.asked, limit: c.opts.MaxObject}
	defer a.close()
	version := "HTTP/1.1"
	if o.asked.host == absentField {
		version = "HTTP/1.0"
	}
	ask := func(kind int, method string, fields ...string) Refusal {
		var err error
		p.answers[kind], err = a.ask(ctx, method, version, append(fields, "Connection: keep-alive")...)
		return c.refusalOf(err, &o.asked)
	}
	a.against = o.file
	if why := ask(kind200, "GET"); why != Taken {
		return nil, why
	}
	a.against = nil
	full := &p.answers[kind200]
	if o.file != nil && full.has("Content-Encoding") {
		return nil, TooLarge // what a coding makes of it would have to be held
	}
	lifetime, why := full.storable()
	if why != Taken {
		return nil, why
	}
	var ok bool
	if p.date, ok = full.date("Date"); !ok {
		return nil, ProofOdd
	}
	if why := c.learn(o, full); why != Taken {
		return nil, why
	}
	o.freshUntil.Store(p.date + lifetime)
	if why := ask(kind200Head, "HEAD"); why != Taken {
		return nil, why
	}
	if o.file != nil && p.answers[kind200Head].status != 200 {
		return nil, ProofOdd // it could be asked again only with all its octets
	}
	// RFC 9112, 9.3: in HTTP/1.1 a connection goes on without a word. Apache's downgrade-1.0 is for servers where it does not.
	if o.asked.host != absentField && !full.closes() {
		method := "HEAD"
		if p.answers[kind200Head].status != 200 {
			method = "GET"
		}
		var err error
		if p.plain, err = a.ask(ctx, method, version); err != nil {
			return nil, c.refusalOf(err, &o.asked)
		}
	}
	if o.validators.Tag != "" {
		if why := ask(kind304, "GET", "If-None-Match: "+full.field("ETag")); why != Taken {
			return nil, why
		}
	}
	if p.answers[kind304].status != 304 {
		if why := c.learnTag(o, p, ask); why != Taken {
			return nil, why
		}
	}
	if full.field("Accept-Ranges") != "bytes" || full.chunked {
		return p, Taken
	}
	if full.length > 0 {
		if why := ask(kind206, "GET", "Range: bytes=0-0"); why != Taken {
			return nil, why
		}
	}
	if full.length >= precondition.ProbeLength {
		if why := ask(kindParts, "GET", "Range: "+precondition.Probe); why != Taken {
			return nil, why
		}
	}
	return p, Taken
}

// learnTag asks by date for a 304 that could not be had by the tag of the answer. Apache marks the tag of what it has compressed itself, and
// then does not know it again; the 304 has the tag that it knows.
func (c *Cache) learnTag(o *Object, p *proof, ask func(int, string, ...string) Refusal) Refusal {
	full, fresh := &p.answers[kind200], &p.answers[kind304]
	o.validators.Tag = ""
	if o.validators.Modified == 0 {
		return Taken
	}
	if why := ask(kind304, "GET", "If-Modified-Since: "+full.field("Last-Modified")); why != Taken {
		return why
	}
	tag := fresh.field("ETag")
	if fresh.status != 304 || tag == "" {
		return Taken
	}
	byDate := *fresh
	why := ask(kind304, "GET", "If-None-Match: "+tag)
	if why == Taken && fresh.status == 304 {
		o.validators.Tag = tag
	} else {
		*fresh = byDate
	}
	return why
}

func (c *Cache) refusalOf(err error, q *question) Refusal {
	switch {
	case err == nil:
		return Taken
	case errors.Is(err, errTooLarge):
		return TooLarge
	case errors.Is(err, errOdd):
		return ProofOdd
	case errors.Is(err, errContent):
		return ProofContent
	}
	c.opts.Logger.Debug("the server behind can't be asked", "target", q.target, "host", q.host, "err", err)
	return NoBackend
}

// learn takes from the answer to GET what responses depend on.
func (c *Cache) learn(o *Object, full *answer) Refusal {
	o.octets, o.size = full.body, uint64(full.length)
	o.mime = full.field("Content-Type")
	if o.only11 = full.chunked; o.only11 {
		o.framing = len(full.body) - len(full.content)
	}
	tag := full.field("ETag")
	o.validators = precondition.Validators{Tag: tag, Sent: tag, Length: o.size}
	if full.has("Last-Modified") {
		var ok bool
		if o.validators.Modified, ok = full.date("Last-Modified"); !ok {
			return ProofOdd
		}
	}
	if full.closes() {
		return Taken
	}
	var ok bool
	o.keepAlive, ok = persistence(full.field("Keep-Alive"))
	if !ok {
		return ProofKeepAlive
	}
	o.idle = o.keepAlive.seconds()
	return Taken
}

// secondLook asks again, in the plainest way: HEAD where that is understood, and HTTP/1.0. If that fits a template of the first
// answers, the other templates are made likewise.
func (c *Cache) secondLook(ctx context.Context, p *proof) Refusal {
	again, why := c.askAgain(ctx, p.o, p.o.asked.coding, p.answers[kind200Head].status == 200)
	if why != Taken {
		return why
	}
	if date, ok := again.date("Date"); !ok || date <= p.date {
		return Changing // the clock was set back
	}
	for _, e := range p.answers[kind200].expiries() {
		if !p.cut(e) {
			continue
		}
		if p.o.says(&again, fieldsClose) {
			if p.plain.status != 0 && !p.o.says(&p.plain, fieldsNone) {
				return ProofKeepAlive
			}
			p.o.refresh(&again)
			c.widen(ctx, p)
			return Taken
		}
	}
	c.opts.Logger.Debug("the server behind answers differently each time", "target", p.o.asked.target, "first", p.answers[kind200Head].head, "then", again.head)
	return ProofVolatile
}

// widen makes the object one for every Accept-Encoding, if its answer is the same with none and with all codings and says nothing to the
// contrary. One of them is not enough: mod_rewrite adds Vary only if its condition holds.
func (c *Cache) widen(ctx context.Context, p *proof) {
	o := p.o
	if p.answers[kind200].coded() || o.life.narrow {
		return
	}
	any := question{coding: anyCoding}
	for _, coding := range any.codings() {
		if coding == o.asked.coding {
			continue
		}
		if again, why := c.askAgain(ctx, o, coding, o.kinds[kind200Head].text != ""); why != Taken || !o.says(&again, fieldsClose) {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	noted := o.life.noted
	if noted {
		c.named.count(&o.asked, o.life.ways[0].stamp.real, -1)
	}
	o.key, o.asked.coding = wide(o.key), anyCoding
	if noted {
		c.named.count(&o.asked, o.life.ways[0].stamp.real, 1)
	}
}

// cut makes the templates, with Expires meant in the way of e. It reports false if there is none for GET.
func (p *proof) cut(e expiry) bool {
	full := &p.answers[kind200]
	p.o.kinds = [numKinds]template{}
	for kind, status := range statuses {
		a := &p.answers[kind]
		if a.status != status || !a.derived(full) || status == 206 && !p.partial(kind) {
			continue
		}
		if t, ok := a.template(e); ok {
			p.o.kinds[kind] = t
		}
	}
	return p.o.kinds[kind200].text != "" && (p.o.file == nil || p.o.kinds[kind200Head].text != "")
}

const multipart = "multipart/byteranges; boundary="

// partial reports whether the answer of this kind, to a request for ranges, is what we would say, but for the rest of the header section. Of
// several ranges, the boundary is learnt.
func (p *proof) partial(kind int) bool {
	o, a := p.o, &p.answers[kind]
	contentRange, probe := fmt.Sprintf("bytes 0-0/%d", o.size), "bytes=0-0"
	if kind == kindParts {
		contentRange, probe = "", precondition.Probe
		o.boundary, _ = strings.CutPrefix(a.field("Content-Type"), multipart)
	}
	var r Response
	if !o.choose(&r, &httpwire.Request{Range: []byte(probe)}, p.date) || int(r.kind) != kind {
		return false
	}
	return a.field("Content-Range") == contentRange && bytes.Equal(o.octetsOf(&r), a.body)
}

func (o *Object) octetsOf(r *Response) []byte {
	body := make([]byte, o.bodyLen(r))
	if o.file == nil || r.noBody {
		o.readBody(r, body, 0)
	} else if n, err := o.readFile(r, body, 0); err != nil {
		return body[:n]
	}
	return body
}

// askAgain asks for what o is an answer to, with this Accept-Encoding, in a way that ends the connection.
func (c *Cache) askAgain(ctx context.Context, o *Object, coding string, head bool) (answer, Refusal) {
	a := asker{backend: c.opts.Backend, about: o.asked, limit: c.opts.MaxObject}
	a.about.coding = coding
	defer a.close()
	method, version, fields := "GET", "HTTP/1.0", []string(nil)
	if head {
		method = "HEAD"
	}
	if o.only11 {
		version, fields = "HTTP/1.1", []string{"Connection: close"}
	}
	again, err := a.ask(ctx, method, version, fields...)
	if why := c.refusalOf(err, &o.asked); why != Taken {
		return again, why
	}
	_, why := again.storable()
	return again, why
}

// refresh makes o as fresh as the answer again, which it says.
func (o *Object) refresh(again *answer) {
	lifetime, why := again.storable()
	if date, ok := again.date("Date"); ok && why == Taken {
		o.freshUntil.Store(date + lifetime)
	}
}

// says reports whether o gives the answer again, octet for octet, at its time and with these fields about the connection.
func (o *Object) says(again *answer, fields uint8) bool {
	date, ok := again.date("Date")
	r := Response{Date: uint32(date), kind: kind200Head, fields: fields, noBody: true}
	if o.kinds[kind200Head].text == "" {
		r.kind, r.noBody = kind200, false
	}
	return ok && o.kinds[r.kind].text != "" && string(o.head(make([]byte, 0, maxHead), &r)) == again.head && bytes.Equal(o.octetsOf(&r), again.body)
}
