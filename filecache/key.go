package filecache

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// A key is what an answer was proven for, octet for octet as the client wrote it:
//
//	local address (16) │ Host │ NUL │ path │ NUL │ Accept-Encoding
//
// A field that was not sent is absentField. No field's value has a control character in it. How the server behind maps names
// to sites and chooses codings is not our business: each way of asking is proven by itself, but that an answer may be proven for
// every Accept-Encoding at once (Cache.widen). Its key, the wide one, has anyCoding there.
const (
	absentField = "\x01"
	anyCoding   = "\x02"
	maxKey      = 512 // longer ones are the server's behind
)

// keyStart appends the key of r, asked at address local, without its last part, to dst, which has a capacity of maxKey. There is room for
// that part. It reports false if r is for the server behind whatever the cache holds.
func (c *Cache) keyStart(dst []byte, local [16]byte, r *httpwire.Request) ([]byte, bool) {
	if len(r.Path) < len(r.Target) && !c.queryIgnored(r.Path) {
		return nil, false
	}
	host := r.Host
	if c.opts.Backend == nil { // one site
		local, host = [16]byte{}, nil
	} else if c.agents.Load().known(r.UserAgent) {
		return nil, false
	}
	if len(local)+len(host)+len(r.AcceptEncoding)+len(r.Path)+4 > maxKey {
		return nil, false
	}
	dst = appendField(append(dst, local[:]...), host)
	dst = append(append(dst, 0), r.Path...)
	return append(dst, 0), true
}

// key returns the key of r that begins so.
func (c *Cache) key(start []byte, r *httpwire.Request) []byte {
	if c.opts.Backend == nil {
		return append(start, anyCoding...)
	}
	return appendField(start, r.AcceptEncoding)
}

func appendField(dst, value []byte) []byte {
	if value == nil {
		return append(dst, absentField...)
	}
	return append(dst, value...)
}

// wide returns the key for every Accept-Encoding.
func wide(key string) string { return key[:strings.LastIndexByte(key, 0)+1] + anyCoding }

func (c *Cache) queryIgnored(path []byte) bool {
	for _, prefix := range c.opts.QueryIgnored {
		if len(path) >= len(prefix) && string(path[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}

// question is a key taken apart.
type question struct {
	local        netip.Addr
	host, coding string // values of fields, or absentField, or anyCoding
	target       string
}

func parseKey(key string) question {
	local, _ := netip.AddrFromSlice([]byte(key[:16]))
	host, rest, _ := strings.Cut(key[16:], "\x00")
	end := strings.LastIndexByte(rest, 0)
	return question{local.Unmap(), host, rest[end+1:], rest[:end]}
}

// everyCoding names all codings that clients do: a condition that one of them meets is met.
const everyCoding = "gzip, deflate, br, zstd, dcb, dcz, compress, x-gzip, x-compress, identity, *"

// codings are the Accept-Encoding fields to put q with. An answer for any of them has to be the same with none and with all.
func (q *question) codings() []string {
	if q.coding == anyCoding {
		return []string{absentField, everyCoding}
	}
	return []string{q.coding}
}

// site returns the name in the Host field, without port and in lower case.
func (q *question) site() string {
	host := strings.ToLower(q.host)
	if k := strings.LastIndexByte(host, ':'); k > strings.LastIndexByte(host, ']') {
		host = host[:k]
	}
	return host
}

// decode returns the path that target means, or false if no file is meant: escapes decoded, no empty segments, no dot segments. It ends
// in '/' if a directory is meant. It serves to find the file, and to judge by its name; whether the server behind thinks the same
// shows by its answer.
func decode(target string) (string, bool) {
	if !strings.HasPrefix(target, "/") {
		return "", false
	}
	raw, ok := unescape(target)
	if !ok {
		return "", false
	}
	var way []string
	segment := ""
	for segment = range strings.SplitSeq(raw, "/") {
		switch segment {
		case "", ".":
		case "..":
			if len(way) == 0 {
				return "", false
			}
			way = way[:len(way)-1]
		default:
			way = append(way, segment)
		}
	}
	path := "/" + strings.Join(way, "/")
	if len(way) > 0 && (segment == "" || segment == "." || segment == "..") {
		path += "/"
	}
	return path, true
}

// unescape decodes percent-encodings. Like Apache, it refuses those of '/' and NUL.
func unescape(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, !strings.Contains(s, "\x00")
	}
	var b strings.Builder
	for k := 0; k < len(s); k++ {
		c := s[k]
		if c == '%' {
			octet, err := hex.DecodeString(s[k+1 : min(k+3, len(s))])
			if err != nil || len(octet) != 1 || octet[0] == '/' {
				return "", false
			}
			c = octet[0]
			k += 2
		}
		if c == 0 {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
