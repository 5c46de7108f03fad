package filecache

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// mimeTypes maps extensions, in lower case and without the dot, to media types.
type mimeTypes map[string]string

// loadMimeTypes reads a file in the format of Apache's TypesConfig: a type, then its extensions, on each line.
func loadMimeTypes(path string) (mimeTypes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the table of media types (Debian's package media-types has one): %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	types := mimeTypes{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		for _, ext := range fields[1:] {
			types[strings.ToLower(ext)] = fields[0]
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the table of media types: %w", err)
	}
	return types, nil
}

// of returns the media type of a file name. It reports false where there is doubt: no extension, an unknown one, or
// another known one in front of it, which Apache's mod_mime may take for a language, a coding or a handler.
func (m mimeTypes) of(name string) (string, bool) {
	parts := strings.Split(name, ".")
	last := len(parts) - 1
	if last < 1 || parts[0] == "" {
		return "", false
	}
	for _, ext := range parts[1:last] {
		if _, known := m[strings.ToLower(ext)]; known || len(ext) < 3 {
			return "", false // two letters are languages
		}
	}
	t, ok := m[strings.ToLower(parts[last])]
	return t, ok
}
