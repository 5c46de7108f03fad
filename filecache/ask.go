package filecache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Backend is the server behind.
type Backend interface {
	// Dial connects to where clients find it that connect to local, in a way that earns no trust: as a stranger.
	Dial(ctx context.Context, local netip.Addr) (net.Conn, error)
}

const (
	askTimeout    = 30 * time.Second // for one answer
	maxAnswerHead = 64 << 10
	longestLine   = 16 << 10
)

// errTooLarge is the error of an answer whose body is longer than wanted.
var errTooLarge = errors.New("the answer is too large")

// errOdd is that of an answer which is not written as one of HTTP/1.1 should be, or not so that its end is known.
var errOdd = errors.New("the answer is odd")

// errContent is that of an answer whose body is not the file's.
var errContent = errors.New("the answer is not the content of the file")

// asker puts questions about one target, one after the other, on one connection while it lasts.
type asker struct {
	backend Backend
	about   question
	limit   int64 // octets of a body
	against *file // if not nil, an answer with a body has this file's, and is not kept
	conn    net.Conn
	lines   *bufio.Reader
}

// ask returns the answer to a request for the target with these fields, besides those that the question has.
func (a *asker) ask(ctx context.Context, method, version string, fields ...string) (answer, error) {
	end := ctx // of a body that is compared with a file there is no end but silence
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if a.conn == nil {
		conn, err := a.backend.Dial(ctx, a.about.local)
		if err != nil {
			return answer{}, fmt.Errorf("ask the server behind: %w", err)
		}
		a.conn, a.lines = conn, bufio.NewReaderSize(conn, longestLine)
	}
	stop := context.AfterFunc(ctx, func() { a.conn.SetDeadline(time.Now()) }) //nolint:errcheck // then it is closed already
	defer stop()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", method, a.about.target, version)
	if a.about.host != absentField {
		fmt.Fprintf(&b, "Host: %s\r\n", a.about.host)
	}
	if a.about.coding != absentField {
		fmt.Fprintf(&b, "Accept-Encoding: %s\r\n", a.about.coding)
	}
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n")
	_, err := io.WriteString(a.conn, b.String())
	if err != nil {
		a.close()
		return answer{}, fmt.Errorf("ask the server behind: %w", err)
	}
	got, err := a.read(method == "HEAD")
	if err == nil && a.against != nil && got.status == 200 && method != "HEAD" {
		if stop() {
			err = a.compare(end, got.length)
		} else {
			err = ctx.Err()
		}
	}
	if err != nil || got.closes() {
		a.close()
	}
	if err != nil {
		return answer{}, fmt.Errorf("read the answer of the server behind: %w", err)
	}
	return got, nil
}

func (a *asker) close() {
	if a.conn != nil {
		a.conn.Close() //nolint:errcheck // the answer is whole or not
		a.conn = nil
	}
}

func (a *asker) read(headOnly bool) (got answer, err error) {
	var head strings.Builder
	for head.Len() < maxAnswerHead {
		line, err := a.line()
		if err != nil {
			return got, err
		}
		if head.WriteString(line); line == "\r\n" {
			break
		}
	}
	got.head = head.String()
	if got.lines, got.status = splitHead(got.head); got.status == 0 {
		return got, errOdd
	}
	if headOnly || got.status == 304 || got.status == 204 {
		return got, nil
	}
	length, err := strconv.ParseInt(got.field("Content-Length"), 10, 64)
	switch {
	case a.against != nil && got.status == 200:
		if got.length = length; err != nil || length != a.against.id.size {
			err = errTooLarge
		}
		return got, err
	case strings.EqualFold(got.field("Transfer-Encoding"), "chunked"):
		got.chunked = true
		err = a.readChunks(&got)
	case err != nil || length < 0:
		return got, errOdd
	case length > a.limit:
		return got, errTooLarge
	default:
		got.body = make([]byte, length)
		_, err = io.ReadFull(a.lines, got.body)
		got.content = got.body
	}
	got.length = int64(len(got.body))
	return got, err
}

// compare reads a body of length octets, each of which must be the file's.
func (a *asker) compare(ctx context.Context, length int64) error {
	conn := a.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // what is read tells
	defer stop()
	var theirs, ours [64 << 10]byte
	for at := int64(0); at < length; {
		if err := conn.SetReadDeadline(time.Now().Add(askTimeout)); err != nil {
			return err
		}
		n, err := a.lines.Read(theirs[:min(length-at, int64(len(theirs)))])
		if err != nil {
			return err
		}
		if m, _ := a.against.ReadAt(ours[:n], at); m != n || !bytes.Equal(ours[:n], theirs[:n]) {
			return errContent
		}
		at += int64(n)
	}
	return conn.SetReadDeadline(time.Time{})
}

// line reads a line with its CRLF.
func (a *asker) line() (string, error) {
	line, err := a.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), err == nil && !bytes.HasSuffix(line, []byte("\r\n")):
		return "", errOdd
	}
	return string(line), err
}

// readChunks keeps the chunks as they came (RFC 9112, 7.1), too.
func (a *asker) readChunks(got *answer) error {
	for {
		line, err := a.line()
		if err != nil {
			return err
		}
		got.body = append(got.body, line...)
		size, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
		if err != nil {
			return errOdd
		}
		if int64(size)+int64(len(got.body)) > a.limit+a.limit/8+1024 {
			return errTooLarge
		}
		at := len(got.body)
		got.body = append(got.body, make([]byte, size+2)...)
		if _, err := io.ReadFull(a.lines, got.body[at:]); err != nil {
			return err
		}
		if string(got.body[len(got.body)-2:]) != "\r\n" {
			return errOdd // or there are trailers
		}
		if size == 0 {
			return nil
		}
		got.content = append(got.content, got.body[at:len(got.body)-2]...)
	}
}
