package filecache

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// A key is what an answer was proven for, octet for octet as the client wrote it:
//
//	local address (16) │ Host │ NUL │ Accept-Encoding │ NUL │ path
//
// A field that was not sent is absentField. No field's value has a control character in it. How the server behind maps names
// to sites and chooses codings is not our business: each way of asking is proven by itself.
const (
	absentField = "\x01"
	maxKey      = 512 // longer ones are the server's behind
)

// key appends the key of r, asked at address local, to dst, which has a capacity of maxKey. It reports false if r is for the server
// behind whatever the cache holds.
func (c *Cache) key(dst []byte, local [16]byte, r *httpwire.Request) ([]byte, bool) {
	if len(r.Path) < len(r.Target) && !c.queryIgnored(r.Path) {
		return nil, false
	}
	if c.opts.Backend == nil { // one site, one coding
		local = [16]byte{}
		return appendKey(dst, local, nil, nil, r.Path)
	}
	if c.agents.Load().known(r.UserAgent) {
		return nil, false
	}
	return appendKey(dst, local, r.Host, r.AcceptEncoding, r.Path)
}

func appendKey(dst []byte, local [16]byte, host, coding, path []byte) ([]byte, bool) {
	if len(local)+len(host)+len(coding)+len(path)+4 > maxKey {
		return nil, false
	}
	dst = append(dst, local[:]...)
	dst = appendField(dst, host)
	dst = appendField(dst, coding)
	return append(dst, path...), true
}

func appendField(dst, value []byte) []byte {
	if value == nil {
		dst = append(dst, absentField...)
	}
	dst = append(dst, value...)
	return append(dst, 0)
}

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
	host, coding string // values of fields, or absentField
	target       string
}

func parseKey(key string) question {
	local, _ := netip.AddrFromSlice([]byte(key[:16]))
	host, rest, _ := strings.Cut(key[16:], "\x00")
	coding, target, _ := strings.Cut(rest, "\x00")
	return question{local.Unmap(), host, coding, target}
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
