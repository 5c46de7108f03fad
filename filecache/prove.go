package filecache

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// Backend is the server behind.
type Backend interface {
	// Head returns the header section of its answer to a HEAD request for target with the field "Connection:
	// keep-alive", status line and final empty line included, as it was written.
	Head(ctx context.Context, target string) ([]byte, error)
}

// prove returns the object of body if the server behind would answer with the same header section, octet for octet,
// as we. From its answer we learn the Server field and whether it varies by Accept-Encoding. A site with mod_headers,
// mod_expires, access rules, another root or other keep-alive settings answers differently: its files stay its own.
func (c *Cache) prove(ctx context.Context, target string, body []byte, f facts) (*Object, Refusal) {
	if c.opts.Backend == nil {
		return c.object(target, body, f)
	}
	answer, err := c.opts.Backend.Head(ctx, target)
	if err != nil {
		c.opts.Logger.Debug("the server behind can't be asked", "target", target, "err", err)
		return nil, NoBackend
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
		return nil, ProofStatus
	}
	f.server = field(answer, "Server")
	f.varies = field(answer, "Vary") != ""
	o, why := c.object(target, body, f)
	if why != Taken {
		return nil, why
	}
	date, ok := httpwire.ParseDate([]byte(field(answer, "Date")), time.Now().Unix())
	if !ok {
		return nil, ProofDiffers
	}
	resp, ok := o.Respond(&httpwire.Request{Head: true, SentKeepAlive: true}, c.opts.KeepAliveRequests, date)
	if !ok {
		return nil, ProofDiffers
	}
	ours := make([]byte, o.Len(resp))
	o.ReadAt(resp, ours, 0)
	if !bytes.Equal(ours, answer) {
		c.opts.Logger.Debug("the server behind answers differently", "target", target, "ours", string(ours), "its", string(answer))
		return nil, ProofDiffers
	}
	return o, Taken
}

func (c *Cache) object(target string, body []byte, f facts) (*Object, Refusal) {
	o, err := newObject(target, body, f)
	if err != nil {
		return nil, TooLarge
	}
	return o, Taken
}

// field returns the value of the first field called name in a header section, or "".
func field(section []byte, name string) string {
	for line := range strings.SplitSeq(string(section), "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// HTTPBackend asks a server at a TCP address, over the kernel's own TCP.
type HTTPBackend struct {
	Addr    string // host:port
	Host    string // the Host field; Addr if empty
	Timeout time.Duration
}

// Head implements Backend.
func (b *HTTPBackend) Head(ctx context.Context, target string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", b.Addr)
	if err != nil {
		return nil, fmt.Errorf("ask the server behind: %w", err)
	}
	defer conn.Close() //nolint:errcheck // the answer is whole or not
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("ask the server behind: %w", err)
	}
	host := b.Host
	if host == "" {
		host = b.Addr
	}
	if _, err := fmt.Fprintf(conn, "HEAD %s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive\r\n\r\n", target, host); err != nil {
		return nil, fmt.Errorf("ask the server behind: %w", err)
	}
	var section []byte
	lines := bufio.NewReader(conn)
	for len(section) < 64<<10 {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("read the answer of the server behind: %w", err)
		}
		section = append(section, line...)
		if string(line) == "\r\n" {
			return section, nil
		}
	}
	return nil, fmt.Errorf("the server behind at %s sends an endless header section", b.Addr)
}
