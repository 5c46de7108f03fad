package precondition

import (
	"bytes"
	"io"
	"mime/multipart"
	"regexp"
	"strings"
	"testing"
)

var body = []byte(strings.Repeat("0123456789", 100))

func TestMultipart(t *testing.T) {
	m := Multipart{Boundary: "5f0", Type: "text/html", Body: body, Length: uint64(len(body))}
	parts := Parts{List: [MaxParts]Part{{0, 2}, {15, 17}}, N: 2}
	const want = "\r\n--5f0\r\nContent-type: text/html\r\nContent-range: bytes 0-1/1000\r\n\r\n01" +
		"\r\n--5f0\r\nContent-type: text/html\r\nContent-range: bytes 15-16/1000\r\n\r\n56\r\n--5f0--\r\n"
	all := make([]byte, m.Len(&parts)+10)
	n := m.ReadAt(&parts, all, 0)
	if string(all[:n]) != want || n != len(all)-10 {
		t.Errorf("%q, %d octets of %d, want %q", all[:n], n, len(all)-10, want)
	}
	m.Type = ""
	if got := int(m.Len(&parts)); got != len(strings.ReplaceAll(want, "\r\nContent-type: text/html", "")) {
		t.Errorf("without a type: %d octets", got)
	}
}

// A retransmission may begin and end anywhere, and another's reader finds in it what was asked for.
func TestMultipartReadAt(t *testing.T) {
	m := Multipart{Boundary: Boundary, Type: "image/png", Body: body, Length: uint64(len(body))}
	parts := Parts{N: MaxParts}
	for k := range parts.List {
		parts.List[k] = Part{uint32(990 - 120*k), uint32(995 - 100*k)}
	}
	onDisk := m
	onDisk.Body, onDisk.File = nil, bytes.NewReader(body)
	all := make([]byte, m.Len(&parts))
	if n := m.ReadAt(&parts, all, 0); n != len(all) {
		t.Fatalf("%d octets of %d", n, len(all))
	}
	for off := range len(all) + 2 {
		for _, size := range []int{0, 1, 7, 100, len(all)} {
			dst := make([]byte, size)
			want := all[min(off, len(all)):min(off+size, len(all))]
			if n := m.ReadAt(&parts, dst, uint32(off)); !bytes.Equal(dst[:n], want) {
				t.Fatalf("%d octets at %d: %q, want %q", size, off, dst[:n], want)
			}
			clear(dst)
			if n, err := onDisk.ReadFileAt(&parts, dst, uint32(off)); !bytes.Equal(dst[:n], want) || err != nil {
				t.Fatalf("%d octets at %d of a file: %q, %v, want %q", size, off, dst[:n], err, want)
			}
		}
	}
	r := multipart.NewReader(bytes.NewReader(all), Boundary)
	for _, p := range parts.All() {
		part, err := r.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		octets, err := io.ReadAll(part)
		if err != nil || !bytes.Equal(octets, body[p.From:p.To]) {
			t.Errorf("part %v: %q, %v", p, octets, err)
		}
	}
	if _, err := r.NextPart(); err != io.EOF {
		t.Errorf("behind the last part: %v", err)
	}
	if !regexp.MustCompile(`^[1-9a-f][0-9a-f]{0,15}$`).MatchString(Boundary) {
		t.Errorf("the boundary is %q", Boundary)
	}
}

// A file that has become shorter is an error, not a short answer.
func TestMultipartOfAShorterFile(t *testing.T) {
	m := Multipart{Boundary: "5f0", File: bytes.NewReader(body[:16]), Length: uint64(len(body))}
	parts := Parts{List: [MaxParts]Part{{0, 2}, {15, 17}}, N: 2}
	if n, err := m.ReadFileAt(&parts, make([]byte, m.Len(&parts)), 0); err == nil {
		t.Errorf("%d octets, and no error", n)
	}
}
