package filecache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/precondition"
)

// apache is a private Apache with Debian's stock configuration, of which only the port and the root are changed.
type apache struct {
	*testing.T
	addr string
}

// startApache serves root until the test ends, with further configuration.
func startApache(t *testing.T, root, further string) *apache {
	t.Helper()
	const program, stock = "/usr/sbin/apache2", "/etc/apache2"
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("XHTTPD_REQUIRE") == "1" {
			t.Fatalf("Debian's package apache2 is missing: %v", err)
		}
		t.Skipf("needs Debian's package apache2: %v", err)
	}
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Apache's workers are another user, when we are root.
	for _, d := range []string{filepath.Dir(dir), dir, filepath.Dir(filepath.Dir(root)), filepath.Dir(root)} {
		must(os.Chmod(d, 0o755))
	}
	must(os.CopyFS(dir, os.DirFS(stock)))
	a := &apache{T: t, addr: freeAddr(t)}
	_, port, err := net.SplitHostPort(a.addr)
	must(err)
	for name, change := range map[string][]string{
		"ports.conf":                       {"Listen 80\n", "Listen " + a.addr + "\n"},
		"sites-available/000-default.conf": {"*:80>", "*:" + port + ">", "DocumentRoot /var/www/html", "DocumentRoot " + root},
		"apache2.conf":                     {"<Directory /var/www/>", "<Directory " + root + "/>"},
	} {
		old, err := os.ReadFile(filepath.Join(dir, name))
		must(err)
		for k := 0; k < len(change); k += 2 {
			if !strings.Contains(string(old), change[k]) {
				t.Fatalf("the stock %s has no %q", name, change[k])
			}
		}
		must(os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(change...).Replace(string(old))), 0o644))
	}
	must(os.WriteFile(filepath.Join(dir, "conf-enabled", "test.conf"), []byte(further), 0o644))
	name, group := "www-data", "www-data"
	if os.Getuid() != 0 {
		u, err := user.Current()
		must(err)
		g, err := user.LookupGroupId(u.Gid)
		must(err)
		name, group = u.Username, g.Name
	}
	cmd := exec.Command(program, "-d", dir, "-f", "apache2.conf", "-DFOREGROUND")
	cmd.Env = append(os.Environ(), "LANG=C", "APACHE_RUN_USER="+name, "APACHE_RUN_GROUP="+group, "APACHE_RUN_DIR="+dir,
		"APACHE_LOCK_DIR="+dir, "APACHE_LOG_DIR="+dir, "APACHE_PID_FILE="+dir+"/pid")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // a killed one would leave its children
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(cmd.Start())
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }() //nolint:errcheck // it is stopped by a signal
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			cmd.Process.Kill() //nolint:errcheck // it may have ended
			<-ended
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", a.addr)
		if err == nil {
			conn.Close()
			return a
		}
		select {
		case <-ended:
			t.Fatalf("Apache has ended: %s", &said)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("Apache does not listen: %v", err)
		}
	}
}

// freeAddr returns an address on loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// dead is a backend that is replaced before it is needed.
type dead struct{}

func (dead) Dial(context.Context, netip.Addr) (net.Conn, error) { return nil, io.EOF }

// Dial implements Backend.
func (a *apache) Dial(context.Context, netip.Addr) (net.Conn, error) { return net.Dial("tcp", a.addr) }

// ask sends octets on a connection of their own and returns all that comes back.
func (a *apache) ask(octets string) []byte {
	a.Helper()
	conn, err := net.Dial("tcp", a.addr)
	if err != nil {
		a.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // a test
	if _, err := io.WriteString(conn, octets); err != nil {
		a.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		a.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		a.Fatal(err)
	}
	return all
}

// respond returns the response of o to a request, dated as the one of Apache, or false if it is not ours.
func respond(t *testing.T, o *Object, head string, served int, its []byte) ([]byte, bool) {
	t.Helper()
	section, _, _ := bytes.Cut(its, []byte("\r\n\r\n"))
	said := splitAnswer(t, string(section)+"\r\n\r\n")
	date, ok := said.date("Date")
	if !ok {
		t.Fatalf("Apache says to %q: %.500q", head, its)
	}
	resp, ok := o.Respond(request(t, head), served, date)
	if !ok {
		return nil, false
	}
	all := make([]byte, o.Len(resp))
	if resp.OnDisk() {
		return []byte(whole(t, o, resp)), true
	}
	if n := o.ReadAt(resp, all, 0); n != len(all) {
		t.Fatalf("%d octets of %d", n, len(all))
	}
	return all, true
}

// site is files of many types and sizes, and a cache of them that a real Apache has proved.
func site(t *testing.T) (*stage, *apache, map[string]*Object) {
	t.Helper()
	s := newStage(t, func(o *Options) { o.Backend, o.ProofRate = dead{}, 10000 })
	types := []string{"html", "css", "js", "txt", "svg", "json", "xml", "png", "jpg", "gif", "ico", "pdf", "woff2", "mp4", "wasm", "zip", "bin", "md", "csv"}
	objects := map[string]*Object{}
	for k, ext := range types {
		for name, size := range map[string]int{"empty": 0, "one": 1, "small": 100 + k, "page": 5000 + k, "big": 300000 + k} {
			s.put("d/"+name+"."+ext, strings.Repeat("octets \n", size/8+1)[:size])
			objects["/d/"+name+"."+ext] = nil
		}
	}
	a := startApache(t, s.root, "")
	s.opts.Backend = a
	s.run()
	s.until("all files are in the cache", func() bool {
		missing := 0
		for target := range objects {
			if objects[target] = s.look(target); objects[target] == nil {
				s.want(target)
				missing++
			}
		}
		return missing == 0
	})
	return s, a, objects
}

// A client can't tell by the octets whether we or Apache answered.
func TestSameAsApache(t *testing.T) {
	s, a, objects := site(t)
	compared, left := 0, 0
	for target, o := range objects {
		for _, fields := range conditions(o) {
			for _, method := range []string{"GET", "HEAD"} {
				for _, version := range []string{"1.0", "1.1"} {
					for _, connection := range []string{"", "Connection: close\r\n", "Connection: keep-alive\r\n", "connection: Keep-ALIVE\r\n"} {
						if o.Size() > 100000 && fields != "" || o.Size() == 1 && strings.HasSuffix(connection, "ALIVE\r\n") {
							continue // would take long and show nothing new
						}
						head := fmt.Sprintf("%s %s HTTP/%s\r\nHost: test\r\n%s%s\r\n", method, target, version, connection, fields)
						its := a.ask(head)
						o := o
						if strings.Contains(fields, "Accept-Encoding") {
							s.until("the file is proven for "+fields, func() bool {
								r := request(t, head)
								s.Want(address, r)
								o = s.Lookup(address, r)
								return o != nil
							})
						}
						ours, ok := respond(t, o, head, 0, its)
						switch {
						case !ok:
							left++
						case !bytes.Equal(ours, its):
							t.Errorf("%q:\nours %.600q\nits  %.600q", head, ours, its)
						default:
							compared++
						}
					}
				}
			}
		}
	}
	t.Logf("%d responses compared, %d requests are Apache's", compared, left)
	if compared < 4*left || compared < 5000 {
		t.Errorf("only %d responses compared, %d requests are Apache's", compared, left)
	}
}

// conditions are fields that a client may send besides.
func conditions(o *Object) []string {
	date := func(add time.Duration, format string) string {
		return time.Unix(o.validators.Modified, 0).Add(add).UTC().Format(format)
	}
	const imf, rfc850, asctime = "Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC
	all := []string{"", "If-None-Match: " + o.validators.Tag + "\r\n"}
	if !strings.HasPrefix(o.asked.target, "/d/page.") {
		return all
	}
	for _, tags := range []string{"*", "\"x\"", "W/" + o.validators.Tag, "\"x\", " + o.validators.Tag, o.validators.Tag + " ,\t\"y\"", "\"x\",W/\"y\"", "\"\"", "\"x,y\", " + o.validators.Tag,
		"\"" + strconv.Itoa(o.Size()) + "\"", "  " + o.validators.Tag + "\t", "\"" + strings.Trim(o.validators.Tag, "\"") + "-gzip\""} {
		all = append(all, "If-None-Match: "+tags+"\r\n")
	}
	for _, since := range []string{date(0, imf), date(-time.Second, imf), date(time.Second, imf), date(10*time.Minute, imf), date(48*time.Hour, imf),
		date(0, rfc850), date(-time.Second, rfc850), date(0, asctime), date(time.Second, asctime), "Thu, 01 Jan 1970 00:00:00 GMT",
		"Fri, 31 Dec 2100 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"} {
		all = append(all, "If-Modified-Since: "+since+"\r\n")
	}
	if strings.HasSuffix(o.asked.target, ".png") || strings.HasSuffix(o.asked.target, ".html") {
		all = append(all, partial(o, date(0, imf), date(-time.Second, imf))...)
	}
	return append(all,
		"If-None-Match: \"x\"\r\nIf-Modified-Since: "+date(0, imf)+"\r\n",
		"If-None-Match: "+o.validators.Tag+"\r\nIf-Modified-Since: "+date(-time.Hour, imf)+"\r\n",
		"If-Modified-Since: "+date(0, imf)+"\r\nIf-None-Match: "+o.validators.Tag+"\r\n",
		"If-None-Match: "+o.validators.Tag+"\r\nIf-Modified-Since: "+date(48*time.Hour, imf)+"\r\n",
		"If-None-Match: *\r\nIf-Modified-Since: x\r\n", "If-None-Match: \"x\"\r\nIf-Modified-Since: x\r\n",
		"If-None-Match: \r\n", "If-Modified-Since:\r\n", "If-None-Match: x\r\n", "If-Modified-Since: "+date(0, imf)+"; length=5\r\n",
		"User-Agent: Mozilla/5.0\r\nAccept: */*\r\nAccept-Language: de\r\nCookie: a=b\r\nReferer: http://x/\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n",
		"Accept-Encoding: identity\r\n", "Accept-Encoding:\r\n", "Accept-Encoding: gzip, deflate, br\r\n",
	)
}

// partial are fields that ask for a part, or have to do with that.
func partial(o *Object, since, before string) (all []string) {
	for _, ranges := range []string{"bytes=0-0", "bytes=5-", "bytes=-7", "bytes=0-", "bytes=5-6,1-2", "bytes=0-99,200-299,-50", "bytes=0-1,2-3", "bytes=9999-", "bytes=5-1",
		precondition.Probe, precondition.Probe + ",24-24"} {
		all = append(all, "Range: "+ranges+"\r\n", "If-Range: "+o.validators.Sent+"\r\nRange: "+ranges+"\r\n", "Range: "+ranges+"\r\nIf-Range: \"x\"\r\n")
	}
	return append(all,
		"If-Match: "+o.validators.Tag+"\r\n", "If-Match: \"x\"\r\n", "If-Unmodified-Since: "+since+"\r\nIf-None-Match: *\r\n",
		"If-Unmodified-Since: "+before+"\r\n", "Range: bytes=0-1\r\nIf-Range: "+since+"\r\n",
		"Range: bytes=0-1\r\nIf-None-Match: W/"+o.validators.Tag+"\r\n", "Range: bytes=0-1,4-5\r\nAccept-Encoding: gzip\r\n",
	)
}

// Apache answers 101 requests on a connection and counts down in Keep-Alive.
func TestSameAsApacheToTheLast(t *testing.T) {
	_, a, objects := site(t)
	const target, requests = "/d/one.png", 101
	head := "GET " + target + " HTTP/1.1\r\nHost: test\r\nConnection: keep-alive\r\n\r\n"
	its := a.ask(strings.Repeat(head, requests+1))
	for k := range requests {
		ours, ok := respond(t, objects[target], head, k, its)
		if !ok || !bytes.HasPrefix(its, ours) {
			t.Fatalf("request %d:\nours %q\nits  %.600q", k+1, ours, its)
		}
		its = its[len(ours):]
	}
	if len(its) > 0 {
		t.Errorf("there is more: %.600q", its)
	}
}
