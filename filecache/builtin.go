package filecache

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// Without a server behind that could be asked, the answers are those that a stock Apache would give.

// builtin answers for the file f, to which w leads.
func (c *Cache) builtin(o *Object, w *way, f *os.File) Refusal {
	mime, why := c.mime(w.name)
	if why != Taken {
		return why
	}
	body := make([]byte, w.stamp.file.size)
	if _, err := io.ReadFull(f, body); err != nil {
		return Changing
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
	common += fmt.Sprintf("Last-Modified: %s\r\nETag: \"%x-%x\"\r\nAccept-Ranges: bytes\r\n", date, len(body), modified.UnixMicro())
	keep := "Keep-Alive: " + c.timeoutText()
	if c.opts.KeepAliveRequests >= 0 {
		keep += fmt.Sprintf("%s%d", fieldMax, c.opts.KeepAliveRequests)
	}
	keep += connKeepAlive
	for kind, line := range [numKinds]string{"200 OK", "200 OK", "304 Not Modified"} {
		var special string
		switch kind {
		case kind206:
			continue
		case kind200, kind200Head:
			special = fmt.Sprintf("Content-Length: %d\r\n", len(body))
		}
		text := "HTTP/1.1 " + line + "\r\n" + common + special + keep
		if special != "" {
			text += "Content-Type: " + mime + "\r\n"
		}
		a := answer{head: text + "\r\n"}
		a.lines, a.status = splitHead(a.head)
		p.answers[kind] = a
	}
	p.answers[kind200].body = body
	o.freshUntil.Store(forever)
	if why := c.learn(o, &p.answers[kind200]); why != Taken {
		return why
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
