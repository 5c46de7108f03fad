package accesslog

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Format writes a response as a line.
type Format struct {
	items    []item
	sections bool
}

// item appends its part of l's line to b.
type item func(b []byte, l *line) []byte

// named are the formats that have names: Debian's own (apache2.conf), of which common is also what SPECweb96 asks for, and ours.
var named = map[string]string{
	"common":         `%h %l %u %t "%r" %>s %O`,
	"combined":       `%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"`,
	"vhost_combined": `%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"`,
}

// ParseFormat reads the name of a format (common, combined, vhost_combined, json), or what may stand in Apache's LogFormat
// between quotation marks.
func ParseFormat(text string) (*Format, error) {
	if text == "json" {
		return &Format{items: []item{appendJSON}}, nil
	}
	format := text
	if known, ok := named[text]; ok {
		format = known
	} else if !strings.Contains(text, "%") {
		return nil, fmt.Errorf("%q is no log format: give common, combined, vhost_combined, json, or a LogFormat of Apache", text)
	}
	// Apache's configuration file comes first, where a quotation mark needs a backslash.
	format = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(format)
	f := new(Format)
	for format != "" {
		it, rest, err := f.parse(format)
		if err != nil {
			return nil, fmt.Errorf("log format %q: %w", text, err)
		}
		f.items = append(f.items, it)
		format = rest
	}
	return f, nil
}

// NeedsSections reports whether the format says something of the responses' header sections.
func (f *Format) NeedsSections() bool { return f.sections }

// append appends the line of l, with its end.
func (f *Format) append(b []byte, l *line) []byte {
	for _, it := range f.items {
		b = it(b, l)
	}
	return append(b, '\n')
}

// parse reads one item at the beginning of s, as mod_log_config's parse_log_item does.
func (f *Format) parse(s string) (it item, rest string, err error) {
	if s[0] != '%' {
		text, rest := literal(s)
		return func(b []byte, _ *line) []byte { return append(b, text...) }, rest, nil
	}
	if strings.HasPrefix(s, "%%") {
		return func(b []byte, _ *line) []byte { return append(b, '%') }, s[2:], nil
	}
	var arg string
	var on []uint16
	not := false
	for k := 1; k < len(s); {
		switch c := s[k]; {
		case c == '!':
			not = !not
			k++
		case c == '<', c == '>', c == ',': // which of several internal requests: ours are never redirected
			k++
		case '0' <= c && c <= '9':
			end := k
			for end < len(s) && '0' <= s[end] && s[end] <= '9' {
				end++
			}
			status, err := strconv.ParseUint(s[k:end], 10, 16)
			if err != nil {
				return nil, "", fmt.Errorf("%s is no status code", s[k:end])
			}
			on = append(on, uint16(status))
			k = end
		case c == '{':
			n := strings.IndexByte(s[k:], '}')
			if n < 0 {
				return nil, "", fmt.Errorf("'{' without '}' in %q", s)
			}
			arg = s[k+1 : k+n]
			k += n + 1
		default:
			it, err := f.directive(c, arg)
			if err != nil {
				return nil, "", err
			}
			return under(on, not, it), s[k+1:], nil
		}
	}
	return nil, "", fmt.Errorf("%q ends before its directive", s)
}

// literal takes the text up to the next '%', without its escapes.
func literal(s string) (text, rest string) {
	n := strings.IndexByte(s, '%')
	if n < 0 {
		n = len(s)
	}
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(s[:n]), s[n:]
}

// under makes an item that is there only if the status is one of on, or, with not, is none of them; otherwise it is "-".
func under(on []uint16, not bool, it item) item {
	if len(on) == 0 {
		return it
	}
	return func(b []byte, l *line) []byte {
		in := false
		for _, status := range on {
			in = in || status == l.Status
		}
		if in == not {
			return append(b, '-')
		}
		return it(b, l)
	}
}

// directive returns what %c with this argument stands for.
func (f *Format) directive(c byte, arg string) (item, error) {
	if it, ok := plain[c]; ok {
		return it, nil
	}
	switch c {
	case 't':
		return timeItem(arg)
	case 'T':
		return durationItem(arg)
	case 'p':
		switch strings.ToLower(arg) {
		case "", "canonical":
			return number(func(l *line) int64 { return int64(l.server().Port) }), nil
		case "local":
			return number(func(l *line) int64 { return int64(l.LocalPort) }), nil
		case "remote":
			return number(func(l *line) int64 { return int64(l.RemotePort) }), nil
		}
		return nil, fmt.Errorf("%%{%s}p: give canonical, local or remote", arg)
	case 'P':
		if arg == "" || strings.EqualFold(arg, "pid") {
			return constant(strconv.Itoa(os.Getpid())), nil
		}
	case 'i', 'o', 'C':
		if arg == "" {
			return nil, fmt.Errorf("%%%c needs a name, as in %%{Name}%c", c, c)
		}
		f.sections = f.sections || c == 'o'
		return byName(c, arg), nil
	}
	if arg != "" {
		arg = "{" + arg + "}"
	}
	return nil, fmt.Errorf("%%%s%c is nothing that xhttpd knows of a response", arg, c)
}

// plain are the directives that take no argument; most of Apache's ignore one.
var plain = map[byte]item{
	'a': func(b []byte, l *line) []byte { return l.remote().AppendTo(b) },
	'h': func(b []byte, l *line) []byte { return l.remote().AppendTo(b) }, // HostnameLookups Off
	'A': func(b []byte, l *line) []byte { return l.local().AppendTo(b) },
	'l': constant("-"), // nobody asks for the client's user by RFC 1413,
	'u': constant("-"), // nor for a name: a request with Authorization is never answered here
	'L': constant("-"), // nor is there a line in the error log
	'r': func(b []byte, l *line) []byte { return appendEscaped(b, l.firstLine) },
	'm': func(b []byte, l *line) []byte { return appendEscaped(b, l.method) },
	'U': func(b []byte, l *line) []byte { return appendEscaped(b, l.path()) },
	'q': func(b []byte, l *line) []byte { return appendEscaped(b, l.query()) },
	'H': func(b []byte, l *line) []byte { return appendEscaped(b, l.version) },
	's': number(func(l *line) int64 { return int64(l.Status) }),
	// Apache counts the body as a whole, also if the client has not taken it.
	'b': func(b []byte, l *line) []byte {
		if l.Body > 0 {
			return strconv.AppendUint(b, uint64(l.Body), 10)
		}
		return append(b, '-')
	},
	'B': number(func(l *line) int64 { return int64(l.Body) }),
	'O': number(func(l *line) int64 { return int64(l.end.Sent) }),
	'I': number(func(l *line) int64 { return int64(len(l.Request)) }),
	'S': number(func(l *line) int64 { return int64(len(l.Request)) + int64(l.end.Sent) }),
	'D': number(func(l *line) int64 { return l.took.Microseconds() }),
	'k': number(func(l *line) int64 { return int64(l.before()) }),
	'X': func(b []byte, l *line) []byte { return append(b, l.fate()) },
	'v': func(b []byte, l *line) []byte { return appendEscaped(b, []byte(l.server().Name)) },
	'V': func(b []byte, l *line) []byte { return appendEscaped(b, []byte(l.serverName())) },
}

func constant(text string) item {
	return func(b []byte, _ *line) []byte { return append(b, text...) }
}

func number(of func(l *line) int64) item {
	return func(b []byte, l *line) []byte { return strconv.AppendInt(b, of(l), 10) }
}

// byName is one of the three that name something: a field of the request, one of the response, a cookie.
func byName(c byte, name string) item {
	return func(b []byte, l *line) []byte {
		var v []byte
		var ok bool
		switch c {
		case 'i':
			v, ok = l.requestField(name)
		case 'o':
			v, ok = l.responseField(name)
		case 'C':
			v, ok = l.cookie(name)
		}
		if !ok {
			return append(b, '-')
		}
		return appendEscaped(b, v)
	}
}

// durationItem is %T.
func durationItem(unit string) (item, error) {
	per, ok := map[string]time.Duration{"": time.Second, "s": time.Second, "ms": time.Millisecond, "us": time.Microsecond}[strings.ToLower(unit)]
	if !ok {
		return nil, fmt.Errorf("%%{%s}T: give s, ms or us", unit)
	}
	return number(func(l *line) int64 { return int64(l.took / per) }), nil
}

// appendEscaped appends v as Apache's ap_escape_logitem writes it.
func appendEscaped(b, v []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range v {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case ' ' <= c && c <= '~':
			b = append(b, c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\v':
			b = append(b, `\v`...)
		default:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		}
	}
	return b
}
