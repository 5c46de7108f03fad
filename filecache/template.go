package filecache

import (
	"strconv"
	"strings"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// template is a header section as it was written, with holes for what is different in each response:
//
//	HTTP/1.1 200 OK\r\nDate: │date│\r\nServer: …\r\nContent-Length: 3000\r\n│connection│Content-Type: …\r\n\r\n
//
// The zero value is none.
type template struct {
	text  string
	holes [maxHoles]hole
	n     uint8
}

type hole struct {
	arg  int64
	at   uint16 // in text
	what uint8
}

const maxHoles = 5

// What is in a hole.
const (
	holeDate       = iota // the time of the response + arg, as an HTTP date
	holeAge               // arg - that time
	holeConnection        // the lines of Keep-Alive and Connection
	holeRange             // "first-last/length"
	holeLength            // of the octets of ranges
)

// maxHead bounds a header section with full holes.
const maxHead = 2048

// expiry is how Expires, and Cache-Control's max-age with it, go with the time.
type expiry struct {
	kind  uint8
	arg   int64 // of expiresMoving: seconds after Date; of expiresFixed: the time itself
	short int64 // of expiresFixed: how many seconds less max-age says: mod_expires cuts fractions
}

const (
	expiresNever = iota // there is none, or it is not a date: it stays as it is
	expiresMoving
	expiresFixed
)

// expiries are the ways in which the Expires of a may have been meant. A later answer tells which.
func (a *answer) expiries() []expiry {
	expires, ok := a.date("Expires")
	date, dated := a.date("Date")
	if !ok || !dated {
		return []expiry{{}}
	}
	return []expiry{{expiresMoving, expires - date, 0}, {expiresFixed, expires, 1}, {expiresFixed, expires, 0}}
}

// cutter makes a template of an answer.
type cutter struct {
	t    template
	text strings.Builder
	ok   bool
}

func (c *cutter) hole(what uint8, arg int64) {
	if int(c.t.n) == maxHoles {
		c.ok = false
		return
	}
	c.t.holes[c.t.n] = hole{arg, uint16(c.text.Len()), what}
	c.t.n++
}

// template cuts what is different in each response out of a. It reports false if a is not written so that this could be done.
func (a *answer) template(e expiry) (template, bool) {
	date, ok := a.date("Date")
	if !ok {
		return template{}, false
	}
	c := cutter{ok: len(a.head) < maxHead-256}
	status, _, _ := strings.Cut(a.head, "\r\n")
	c.text.WriteString(status + "\r\n")
	connections, dates := 0, 0
	for k := 0; k < len(a.lines) && c.ok; k++ {
		f := a.lines[k]
		switch strings.ToLower(f.name) {
		case "date":
			dates++
			c.date(f, date, 0)
		case "expires":
			switch at, _ := a.date("Expires"); e.kind {
			case expiresMoving:
				c.ok = at-date == e.arg
				c.date(f, at, e.arg)
			case expiresFixed:
				c.ok = at == e.arg
				c.text.WriteString(f.text + "\r\n")
			default:
				c.text.WriteString(f.text + "\r\n")
			}
		case "cache-control":
			c.maxAge(f, date, e)
		case "keep-alive":
			connections++
			_, ok := persistence(f.value)
			c.ok = ok && f.name == "Keep-Alive" && k+1 < len(a.lines) && a.lines[k+1].text == "Connection: Keep-Alive"
			c.hole(holeConnection, 0)
			k++
		case "connection":
			connections++
			c.ok = f.text == "Connection: close"
			c.hole(holeConnection, 0)
		case "content-range":
			c.ok = a.status == 206 // and it was judged: see proof.partial
			c.text.WriteString(f.name + ": bytes ")
			c.hole(holeRange, 0)
			c.text.WriteString("\r\n")
		case "content-length":
			if a.status != 206 {
				c.text.WriteString(f.text + "\r\n")
				break
			}
			c.text.WriteString(f.name + ": ")
			c.hole(holeLength, 0)
			c.text.WriteString("\r\n")
		default:
			c.text.WriteString(f.text + "\r\n")
		}
	}
	c.text.WriteString("\r\n")
	c.t.text = c.text.String()
	return c.t, c.ok && connections == 1 && dates == 1
}

// date cuts the value of f out, which is the time at.
func (c *cutter) date(f field, at, arg int64) {
	var text [httpwire.DateLen]byte
	httpwire.PutDate(text[:], at)
	c.ok = c.ok && f.value == string(text[:])
	c.text.WriteString(f.name + ": ")
	c.hole(holeDate, arg)
	c.text.WriteString("\r\n")
}

// maxAge cuts the number of max-age out if it is the time until an Expires that is fixed.
func (c *cutter) maxAge(f field, date int64, e expiry) {
	const name = "max-age="
	at := strings.Index(f.text, name) + len(name)
	end := at
	for end < len(f.text) && '0' <= f.text[end] && f.text[end] <= '9' {
		end++
	}
	age, err := strconv.ParseInt(f.text[min(at, end):end], 10, 64)
	if less := e.arg - date - age; at < len(name) || err != nil || e.kind != expiresFixed || less < 0 || less > 1 {
		c.text.WriteString(f.text + "\r\n")
		return
	}
	c.text.WriteString(f.text[:at])
	c.hole(holeAge, e.arg-e.short)
	c.text.WriteString(f.text[end:] + "\r\n")
}

// keepAlive is what a server says about a connection's persistence.
type keepAlive struct {
	timeout string // "timeout=5"; empty: the connection ends with the response
	max     int32  // further requests, -1: any number
}

// seconds is the number in timeout, 0 if there is none.
func (k *keepAlive) seconds() uint32 {
	n, err := strconv.ParseUint(strings.TrimPrefix(k.timeout, "timeout="), 10, 31)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// persistence reads the value of a Keep-Alive field.
func persistence(value string) (keepAlive, bool) {
	timeout, rest, limited := strings.Cut(value, ", ")
	k := keepAlive{timeout: timeout, max: -1}
	if !strings.HasPrefix(timeout, "timeout=") || k.seconds() == 0 {
		return k, false // less than a second: only the server behind knows how long that is
	}
	if limited {
		n, err := strconv.ParseUint(strings.TrimPrefix(rest, "max="), 10, 16)
		if err != nil || rest != "max="+strconv.FormatUint(n, 10) {
			return k, false // or beyond what a Response holds
		}
		k.max = int32(n)
	}
	return k, true
}

// derived reports whether a, an answer to another method or with another status than full, is of the same representation: it has no
// field that full does not have, but for those that go with the difference.
func (a *answer) derived(full *answer) bool {
	rest := full.lines
	for _, f := range a.lines {
		switch strings.ToLower(f.name) {
		case "etag": // in a 304, Apache does not say that it would compress
			if a.status == 304 {
				continue
			}
		case "date", "expires", "cache-control", "keep-alive", "connection", "content-length", "content-range", "transfer-encoding":
			continue
		case "content-type":
			if strings.HasPrefix(f.value, multipart) {
				continue
			}
		}
		for len(rest) > 0 && rest[0].text != f.text {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return false
		}
		rest = rest[1:]
	}
	return true
}
