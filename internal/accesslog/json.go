package accesslog

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"time"
)

// record is a line of JSON. Its names are documented in README.md. Octets that are not UTF-8 become U+FFFD.
type record struct {
	Time       time.Time  `json:"time"` // of the request
	Remote     netip.Addr `json:"remote"`
	RemotePort uint16     `json:"remote_port"`
	Local      netip.Addr `json:"local"`
	LocalPort  uint16     `json:"local_port"`
	Server     string     `json:"server"` // %v
	Method     string     `json:"method"`
	Target     string     `json:"target"`
	Protocol   string     `json:"protocol"`
	Host       *string    `json:"host"` // null if it was not sent, as the next two
	Referer    *string    `json:"referer"`
	UserAgent  *string    `json:"user_agent"`
	Status     uint16     `json:"status"`
	Body       uint64     `json:"body"`     // octets of the body, whole
	Sent       uint64     `json:"sent"`     // octets that were sent, with the header section
	Received   int        `json:"received"` // octets of the request
	Microsecs  int64      `json:"duration_us"`
	Before     int        `json:"before"`     // requests on the connection before
	Connection string     `json:"connection"` // kept, closed or aborted
}

func appendJSON(b []byte, l *line) []byte {
	name := func(field string) *string {
		v, ok := l.requestField(field)
		if !ok {
			return nil
		}
		text := string(v)
		return &text
	}
	r := record{
		Time: l.begun.Truncate(time.Microsecond), Remote: l.remote(), RemotePort: l.RemotePort, Local: l.local(), LocalPort: l.LocalPort,
		Server: l.server().Name, Method: string(l.method), Target: string(l.target), Protocol: string(l.version),
		Host: name("Host"), Referer: name("Referer"), UserAgent: name("User-Agent"),
		Status: l.Status, Body: l.Body, Sent: l.end.Sent, Received: len(l.Request), Microsecs: l.took.Microseconds(), Before: int(l.Before),
		Connection: map[byte]string{'+': "kept", '-': "closed", 'X': "aborted"}[l.fate()],
	}
	if l.fate() == '-' && !l.Closes {
		r.Connection = "kept" // Apache's one request too early is not imitated here
	}
	out := bytes.NewBuffer(b)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&r); err != nil {
		return b // strings, numbers, times: cannot be
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'})
}
