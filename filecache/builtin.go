package filecache

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/precondition"
)

// Without a server behind that could be asked, the answers are those that a stock Apache would give.

// builtin answers for the file f, to which w leads.
func (c *Cache) builtin(o *Object, w *way, f *os.File) Refusal {
	mime, why := c.mime(w.name)
	if why != Taken {
		return why
	}
	size := w.stamp.file.size
	var body []byte
	if o.file == nil {
		body = make([]byte, size)
		if _, err := io.ReadFull(f, body); err != nil {
			return Changing
		}
	}
	modified := time.Unix(w.stamp.file.mtime.Unix())
	p := proof{o: o}
	date := make([]byte, httpwire.DateLen)
	httpwire.PutDate(date, modified.Unix())
	common := "Date: " + string(date) + "\r\n"
	if c.opts.Server != "" {
		common += "Server: " + c.opts.Server + "\r\n"
	}
	// Apache's default, FileETag MTime Size: the size and the time in microseconds, in hexadecimal.
	common += fmt.Sprintf("Last-Modified: %s\r\nETag: \"%x-%x\"\r\nAccept-Ranges: bytes\r\n", date, size, modified.UnixMicro())
	keep := fmt.Sprintf("Keep-Alive: timeout=%d", c.opts.KeepAliveTimeout/time.Second)
	if c.opts.KeepAliveRequests >= 0 {
		keep += fmt.Sprintf("%s%d", fieldMax, c.opts.KeepAliveRequests)
	}
	keep += connKeepAlive
	say := func(kind int, status, special, mime string, body []byte) {
		a := answer{head: "HTTP/1.1 " + status + "\r\n" + common + special + keep + mime + "\r\n", body: body, length: int64(len(body))}
		a.lines, a.status = splitHead(a.head)
		p.answers[kind] = a
	}
	length, contentType := fmt.Sprintf("Content-Length: %d\r\n", size), "Content-Type: "+mime+"\r\n"
	say(kind200, "200 OK", length, contentType, body)
	p.answers[kind200].length = size
	say(kind200Head, "200 OK", length, contentType, nil)
	say(kind304, "304 Not Modified", "", "", nil)
	o.freshUntil.Store(forever)
	if why := c.learn(o, &p.answers[kind200]); why != Taken {
		return why
	}
	o.boundary = precondition.Boundary
	for least, probe := range map[int64]string{1: "bytes=0-0", precondition.ProbeLength: precondition.Probe} {
		var r Response
		if size < least || !o.choose(&r, &httpwire.Request{Range: []byte(probe)}, 0) {
			continue
		}
		length := fmt.Sprintf("Content-Length: %d\r\n", o.rangesLen(&r))
		if r.kind == kindParts {
			say(kindParts, "206 Partial Content", length, "Content-Type: "+multipart+o.boundary+"\r\n", o.octetsOf(&r))
		} else {
			length += fmt.Sprintf("Content-Range: bytes 0-0/%d\r\n", size)
			say(kind206, "206 Partial Content", length, contentType, o.octetsOf(&r))
		}
	}
	if !p.cut(expiry{}) {
		return ProofOdd
	}
	return Taken
}

// mime returns the media type of a path.
func (c *Cache) mime(name string) (string, Refusal) {
	if strings.Contains(name, "/.") {
		return "", HiddenName
	}
	mime, ok := c.types.of(path.Base(name))
	switch {
	case ok:
		return mime, Taken
	case c.opts.SloppyMime:
		return "text/html", Taken
	}
	return "", UnknownType
}
