package filecache

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// answer is a response as it was written.
type answer struct {
	head    string // with its empty line
	status  int
	lines   []field
	body    []byte // as sent, chunks included
	content []byte // without them
	length  int64  // of the body, which is not here if it was compared with a file
	chunked bool
}

// field is one line of a header section.
type field struct{ name, value, text string }

// splitHead returns the status of head, 0 if it is not a response of HTTP/1.1, and its fields.
func splitHead(head string) (lines []field, status int) {
	line, rest, ok := strings.Cut(head, "\r\n")
	if !ok || !strings.HasPrefix(line, "HTTP/1.1 ") || len(line) < 12 || !strings.HasSuffix(head, "\r\n\r\n") {
		return nil, 0
	}
	status, err := strconv.Atoi(line[9:12])
	if err != nil {
		return nil, 0
	}
	for rest != "\r\n" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, 0
		}
		lines = append(lines, field{name, value, line})
	}
	return lines, status
}

// field returns the values of all fields of a name, joined.
func (a *answer) field(name string) string {
	var values []string
	for _, f := range a.lines {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return strings.Join(values, ", ")
}

func (a *answer) has(name string) bool {
	for _, f := range a.lines {
		if strings.EqualFold(f.name, name) {
			return true
		}
	}
	return false
}

func (a *answer) closes() bool { return strings.EqualFold(a.field("Connection"), "close") }

// date returns the time of a field, seconds since 1970.
func (a *answer) date(name string) (int64, bool) {
	return httpwire.ParseDate([]byte(a.field(name)), time.Now().Unix())
}

// coded reports whether a says that it is for some Accept-Encoding only, or has a coding.
func (a *answer) coded() bool {
	return a.has("Content-Encoding") || strings.Contains(strings.ToLower(a.field("Vary")), "accept-encoding")
}

// forever is the freshness lifetime of an answer that does not say one.
const forever = math.MaxInt64 / 2

// storable judges a as a shared cache has to (RFC 9111, 3 and 4.2.1), and returns for how many seconds it is fresh.
func (a *answer) storable() (lifetime int64, _ Refusal) {
	if a.status != 200 {
		return 0, ProofStatus
	}
	if a.has("Set-Cookie") || a.has("Set-Cookie2") || a.has("WWW-Authenticate") || a.has("Trailer") || a.has("Upgrade") {
		return 0, ProofStorable
	}
	for name := range strings.SplitSeq(a.field("Vary"), ",") {
		if name = strings.TrimSpace(name); name != "" && !strings.EqualFold(name, "Accept-Encoding") && !strings.EqualFold(name, "Host") {
			return 0, ProofStorable
		}
	}
	lifetime, explicit := int64(forever), false
	for directive := range strings.SplitSeq(strings.ToLower(a.field("Cache-Control")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name = strings.TrimSpace(name); name {
		case "private", "no-store", "no-cache":
			return 0, ProofStorable
		case "max-age", "s-maxage":
			seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				return 0, ProofStorable
			}
			lifetime, explicit = min(lifetime, seconds), true
		}
	}
	if !explicit && a.has("Expires") {
		// An invalid date, "0" among them, is one in the past (RFC 9111, 5.3).
		date, _ := a.date("Date")
		expires, _ := a.date("Expires")
		lifetime = expires - date
	}
	if a.has("Age") {
		age, err := strconv.ParseInt(a.field("Age"), 10, 32)
		if err != nil {
			return 0, ProofStorable
		}
		lifetime -= age
	}
	if lifetime < leastFresh {
		return 0, ProofStale
	}
	return lifetime, Taken
}

// leastFresh is the lifetime in seconds below which proving is not worth while.
const leastFresh = 5

// decoded returns the content without its coding.
func (a *answer) decoded() (io.Reader, error) {
	in := bytes.NewReader(a.content)
	switch strings.ToLower(a.field("Content-Encoding")) {
	case "gzip", "x-gzip":
		return gzip.NewReader(in)
	case "deflate":
		return zlib.NewReader(in)
	case "br":
		return brotli.NewReader(in), nil
	case "zstd":
		return zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20)) // of one thread: needs no Close
	}
	return nil, errors.New("its coding is not known")
}
