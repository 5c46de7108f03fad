package apacheconf

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// node is a directive, or a section with what is in it.
type node struct {
	name string // in lower case; of a section, with "<" before it
	args string // as written
	at   Place
	kids []*node
	// defined is where it stands in Apache's own words, also if a macro has made it.
	defined string
}

// Place is where a directive stands.
type Place struct {
	File string
	Line int // 0: unknown
}

// String returns FILE:LINE.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// words splits the arguments as ap_getword_conf does.
func (n *node) words() (all []string) {
	s := n.args
	for {
		s = strings.TrimLeft(s, " \t\r\n\f\v")
		if s == "" {
			return all
		}
		var word string
		word, s = firstWord(s)
		all = append(all, word)
	}
}

func firstWord(s string) (word, rest string) {
	quote := s[0]
	if quote != '"' && quote != '\'' {
		if end := strings.IndexAny(s, " \t\r\n\f\v"); end >= 0 {
			return s[:end], s[end:]
		}
		return s, ""
	}
	var b strings.Builder
	for k := 1; k < len(s); k++ {
		switch {
		case s[k] == '\\' && k+1 < len(s) && (s[k+1] == '\\' || s[k+1] == quote):
			k++
			b.WriteByte(s[k])
		case s[k] == quote:
			return b.String(), s[k+1:]
		default:
			b.WriteByte(s[k])
		}
	}
	return b.String(), ""
}

// word returns the k-th argument, or "".
func (n *node) word(k int) string {
	if all := n.words(); k < len(all) {
		return all[k]
	}
	return ""
}

// directive returns name and arguments, as a person would write them, shortened.
func (n *node) directive() string {
	const most = 120
	text := strings.TrimPrefix(n.name, "<")
	if c, ok := spelled[text]; ok {
		text = c
	}
	if n.args != "" {
		text += " " + strings.Join(strings.Fields(n.args), " ")
	}
	if len(text) > most {
		text = text[:most] + "…"
	}
	if strings.HasPrefix(n.name, "<") {
		return "<" + text + ">"
	}
	return text
}

var (
	fileLine = regexp.MustCompile(`^# In file: (.*)$`)
	numLine  = regexp.MustCompile(`^\s*#\s*(\d+):$`)
	usedAt   = regexp.MustCompile(`used on line (\d+) of "([^"]*)"`)
)

// parseDump reads what mod_info prints for -D DUMP_CONFIG: sections as written, and before each directive comments
// that say where it stands.
func parseDump(r io.Reader) (root *node, files []string, err error) {
	root = &node{}
	type open struct {
		*node
		indent int
	}
	stack := []open{{root, -1}}
	var at Place
	var file, number string // as printed
	inMacro := false
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if m := fileLine.FindStringSubmatch(line); m != nil {
			at, file, number = Place{File: m[1]}, m[1], ""
			if inMacro = strings.HasPrefix(m[1], "macro "); inMacro {
				// The lines of a macro are counted from its beginning; where it is used says more.
				if used := usedAt.FindStringSubmatch(m[1]); used != nil {
					at.File = used[2]
					at.Line, _ = strconv.Atoi(used[1])
				}
			} else {
				files = append(files, m[1])
			}
			continue
		}
		text := strings.TrimSpace(line)
		if text == "" || text == "#" {
			continue
		}
		// A section in which there is nothing has no end: what follows is not deeper.
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if top := stack[len(stack)-1]; len(top.kids) == 0 && indent <= top.indent && !strings.HasPrefix(text, "</") {
			stack = stack[:len(stack)-1]
		}
		if m := numLine.FindStringSubmatch(line); m != nil {
			if number = m[1]; !inMacro {
				at.Line, _ = strconv.Atoi(m[1])
			}
			continue
		}
		top := stack[len(stack)-1]
		if !strings.HasPrefix(text, "</") {
			n := newNode(text, at)
			n.defined = file + ":" + number
			top.kids = append(top.kids, n)
			if n.section() {
				stack = append(stack, open{n, indent})
			}
			continue
		}
		if len(top.kids) == 0 && indent < top.indent {
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 1 {
			return nil, nil, fmt.Errorf("%q ends nothing", text)
		}
		stack = stack[:len(stack)-1]
	}
	if err := lines.Err(); err != nil {
		return nil, nil, err
	}
	if top := stack[len(stack)-1]; len(stack) > 1 && len(top.kids) == 0 {
		stack = stack[:len(stack)-1]
	}
	if len(stack) > 1 {
		return nil, nil, fmt.Errorf("%s has no end", stack[len(stack)-1].directive())
	}
	return root, files, nil
}

// newNode returns the directive, or the section without its content, of one line.
func newNode(text string, at Place) *node {
	if strings.HasPrefix(text, "<") {
		text = strings.TrimSuffix(text, ">")
	}
	name, args := text, ""
	if k := strings.IndexAny(text, " \t"); k >= 0 {
		name, args = text[:k], strings.TrimSpace(text[k:])
	}
	return &node{name: strings.ToLower(name), args: args, at: at}
}

func (n *node) section() bool { return strings.HasPrefix(n.name, "<") }

// each calls do for n's content, depth first.
func (n *node) each(do func(*node)) {
	for _, k := range n.kids {
		do(k)
		k.each(do)
	}
}
