package backend

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
)

// files answers with the files below root.
type files struct {
	root   *os.Root // keeps symlinks from leaving it
	types  map[string]string
	sloppy bool
}

func newFiles(root, mimeTypes string, sloppy bool) (*files, error) {
	types, err := loadTypes(mimeTypes)
	if err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	return &files{root: r, types: types, sloppy: sloppy}, nil
}

// Close releases the root.
func (f *files) Close() error { return f.root.Close() }

// ServeHTTP implements http.Handler.
func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", ServerField)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" {
		name = "."
	}
	status := f.judge(name)
	if status != http.StatusOK {
		fail(w, status)
		return
	}
	if info, err := f.root.Stat(name); err == nil && info.IsDir() {
		if !strings.HasSuffix(r.URL.Path, "/") {
			// A path only: what the client calls this host is its business. Clean has left no "//" in front.
			to := url.URL{Path: "/" + name + "/"}
			http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
			return
		}
		name = path.Join(name, "index.html")
		if status = f.judge(name); status != http.StatusOK {
			fail(w, status)
			return
		}
	} else if strings.HasSuffix(r.URL.Path, "/") {
		fail(w, http.StatusNotFound)
		return
	}
	f.send(w, r, name)
}

// judge returns whether name may be served at all: everything on the way as a stranger would meet it.
func (f *files) judge(name string) int {
	var way string
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") && part != "." {
			return http.StatusNotFound
		}
		way = path.Join(way, part)
		info, err := f.root.Stat(way)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return http.StatusForbidden
		case err != nil:
			return http.StatusNotFound
		case info.IsDir() && info.Mode().Perm()&0o001 == 0,
			!info.IsDir() && info.Mode().Perm()&0o004 == 0,
			!info.IsDir() && info.Mode().Perm()&0o111 != 0: // a program, whose text is nobody's business
			return http.StatusForbidden
		case !info.IsDir() && !info.Mode().IsRegular():
			return http.StatusForbidden
		}
	}
	return http.StatusOK
}

// send answers with the regular file name.
func (f *files) send(w http.ResponseWriter, r *http.Request, name string) {
	file, err := f.root.Open(name)
	if err != nil {
		fail(w, http.StatusNotFound)
		return
	}
	defer file.Close() //nolint:errcheck // only read
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		fail(w, http.StatusNotFound)
		return
	}
	// As filecache and Apache make it: FileETag MTime Size.
	w.Header().Set("ETag", fmt.Sprintf("\"%x-%x\"", info.Size(), info.ModTime().UnixMicro()))
	w.Header().Set("Content-Type", f.typeOf(name))
	http.ServeContent(w, r, name, info.ModTime(), file)
}

func (f *files) typeOf(name string) string {
	if t, ok := f.types[strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))]; ok {
		return t
	}
	if f.sloppy {
		return "text/html"
	}
	return "application/octet-stream" // not guessed: a guess could make a page of somebody's upload
}

func fail(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }

// loadTypes reads a file in the format of Apache's TypesConfig: a type, then its extensions, on each line.
func loadTypes(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the table of media types (Debian's package media-types has one): %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	types := make(map[string]string)
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
