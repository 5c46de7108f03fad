package compare_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/compare"
	"github.com/xhttpd/xhttpd/bench/cores"
	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// server is one that runs on a stage of its own.
type server struct {
	name   string
	client *nstest.NS
	at     *nstest.NS
	pids   []int
	on     []string     // the command that keeps it on its cores
	bed    *testbed.Bed // of xhttpd, and of Apache alone
	asked  int          // how often xload was called
	cold   float64      // memory before anybody asked for anything, MiB
}

// starters start each server on the address of a namespace, with the files of root. Each is set up as its own documentation advises
// for static files: one process or thread, as it has one core; files kept open; no log.
var starters = map[string]func(s *stage, sv *server){
	"nginx":    func(s *stage, sv *server) { s.exec(sv, nginx, "nginx", "-p", "%[1]s", "-c", "%[1]s/conf") },
	"h2o":      func(s *stage, sv *server) { s.exec(sv, h2o, "h2o", "-c", "%[1]s/conf") },
	"lighttpd": func(s *stage, sv *server) { s.exec(sv, lighttpd, "lighttpd", "-D", "-f", "%[1]s/conf") },
	"apache":   func(s *stage, sv *server) { s.exec(sv, apache, "apache2", "-d", "%[1]s", "-f", "conf", "-DFOREGROUND") },
	"nethttp": func(s *stage, sv *server) {
		s.exec(sv, "", s.peer(), "nethttp", "-root", s.root, "-listen", "%[2]s:80")
	},
	"fasthttp": func(s *stage, sv *server) {
		s.exec(sv, "", s.peer(), "fasthttp", "-root", s.root, "-listen", "%[2]s:80")
	},
	"gvisor": func(s *stage, sv *server) {
		sv.at.Exec("ip", "address", "flush", "dev", sv.at.Interface) // the stack answers for it, ARP included
		s.exec(sv, "", s.peer(), "gvisor", "-root", s.root, "-listen", "%[2]s:80", "-interface", sv.at.Interface)
	},
	self:           (*stage).xhttpd,
	compare.Alone:  (*stage).apacheAlone,
	compare.Passed: (*stage).apachePassed,
}

const self = "xhttpd"

// In the texts, %[1]s is a directory of the server's own, %[2]s its address, %[3]s the document root.
const nginx = `user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid %[1]s/pid;
error_log %[1]s/error.log;
daemon off;
events { worker_connections 19000; multi_accept on; }
http {
	include /etc/nginx/mime.types;
	sendfile on; tcp_nopush on; tcp_nodelay on;
	access_log off;
	keepalive_timeout 300; keepalive_requests 1000000000;
	open_file_cache max=10000 inactive=1h; open_file_cache_valid 1h;
	client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	server { listen %[2]s:80 backlog=16384; root %[3]s; }
}
`

const h2o = `user: root
num-threads: 1
max-connections: 19000
http1-request-timeout: 300
error-log: %[1]s/error.log
pid-file: %[1]s/pid
listen: { host: %[2]s, port: 80 }
hosts:
  default:
    paths:
      "/": { file.dir: %[3]s }
`

const lighttpd = `server.document-root = "%[3]s"
server.bind = "%[2]s"
server.port = 80
server.errorlog = "%[1]s/error.log"
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.max-worker = 0
server.max-fds = 20000
server.max-connections = 19000
server.max-keep-alive-requests = 2147483647
server.max-keep-alive-idle = 300
server.listen-backlog = 16384
server.stat-cache-engine = "simple"
mimetype.assign = ( ".html" => "text/html", ".bin" => "application/octet-stream" )
`

const apache = `ServerRoot /usr/lib/apache2
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule mime_module modules/mod_mime.so
ServerName bench
Listen %[2]s:80
ListenBacklog 16384
PidFile %[1]s/pid
DefaultRuntimeDir %[1]s
ErrorLog %[1]s/error.log
User www-data
Group www-data
StartServers 1
ServerLimit 4
ThreadsPerChild 64
MaxRequestWorkers 256
AsyncRequestWorkerFactor 100
KeepAlive On
KeepAliveTimeout 300
MaxKeepAliveRequests 0
EnableSendfile On
EnableMMAP On
TypesConfig /etc/mime.types
DocumentRoot %[3]s
<Directory />
	AllowOverride None
	Options FollowSymLinks
	Require all granted
</Directory>
`

// exec starts a server with conf written to its directory. Arguments may name %[1]s and %[2]s.
func (s *stage) exec(sv *server, conf string, args ...string) {
	s.Helper()
	dir := filepath.Join(s.dir, sv.name)
	s.must(os.MkdirAll(dir, 0o755))
	s.must(os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, conf+"%.0[3]s%.0[2]s%.0[1]s", dir, sv.at.IPv4, s.root), 0o644))
	for k := range args {
		args[k] = fmt.Sprintf(args[k]+"%.0[1]s%.0[2]s", dir, sv.at.IPv4)
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		s.Fatalf("%s is missing: scripts/bench installs it", args[0])
	}
	args = append(slices.Clone(sv.on), args...)
	cmd := sv.at.Command(args[0], args[1:]...)
	log, err := os.Create(filepath.Join(dir, "log"))
	s.must(err)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM // a killed one would leave its children
	sv.at.Start(cmd)
	s.must(log.Close())
	s.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
		cmd.Wait()                          //nolint:errcheck // after a signal
	})
	sv.pids = []int{cmd.Process.Pid}
	s.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(dir, "log")); s.Failed() && err == nil {
			s.Logf("%s wrote:\n%s", sv.name, text)
		}
	})
}

// xhttpd is started in front of a stock Apache.
func (s *stage) xhttpd(sv *server) {
	s.Helper()
	sv.bed.StartDaemon(variants[sv.name]...)
	sv.pids = []int{sv.bed.PID()}
}

// apacheAlone is the same Apache with nothing in front of it.
func (s *stage) apacheAlone(*server) {}

// apachePassed is the same Apache behind an xhttpd for an address that nobody asks.
func (s *stage) apachePassed(sv *server) { sv.bed.StartDaemon("--address", nobody) }

const nobody = "192.0.2.254"

// peer returns the program of the servers that are made of Go packages.
func (s *stage) peer() string { return s.build("peer", "../peer") }

// build builds the command in dir, once, and returns its path.
func (s *stage) build(name, dir string) string {
	s.Helper()
	binary := filepath.Join(s.binaries, name)
	if _, err := os.Stat(binary); err != nil {
		cmd := exec.Command("go", "build", "-o", binary, ".")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			s.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return binary
}

// start makes a pair of namespaces and starts the server in one of them.
func (s *stage) start(name string, bed compare.Bed) *server {
	s.Helper()
	opts := nstest.Options{MTU: bed.MTU, WireLike: !bed.Offloads, Queues: bed.Queues}
	sv := &server{name: name, on: cores.On(cores.Server)}
	receive := []int{cores.Server}
	if bed.Queues > 1 { // the client's core is one of the server's, too
		sv.on, receive = nil, []int{cores.Client, cores.Server}
	}
	if *layout == wire {
		opts.Wire = nstest.Cores{{cores.Client}, receive}
	}
	kind := name
	if compare.Own(name) {
		kind = self
	}
	if kind == self || kind == compare.Alone || kind == compare.Passed {
		sv.bed = testbed.Start(s, testbed.Options{
			Options: opts, NoDaemon: true, Prefix: sv.on, Root: s.root, Config: "MaxKeepAliveRequests 0\n",
			Args: []string{"--keepalive-requests", "0", "--max-per-prefix", "1000000", "--cache-size", "1GiB"},
		})
		sv.client, sv.at = sv.bed.Client, sv.bed.Server
	} else {
		sv.client, sv.at = nstest.Pair(s, opts)
	}
	for _, ns := range []*nstest.NS{sv.client, sv.at} {
		ns.Sysctl("net/ipv4/ip_local_port_range", "1024 65535")
		ns.Sysctl("net/ipv4/tcp_max_syn_backlog", "16384")
		ns.Sysctl("net/core/somaxconn", "16384")
	}
	for range sourceCount {
		sv.client.AddAddress(sv.client.Interface, netip.MustParsePrefix(sv.source()+"/24"))
	}
	starters[kind](s, sv)
	s.until(name+" answers", func() bool { return s.answers(sv) })
	sv.cold = memory(s, sv.pids)
	return sv
}

// restless reports whether one of several xhttpds never sleeps.
func restless() bool {
	for _, args := range variants {
		if slices.Contains(args, "spin") || slices.Contains(args, "busy") {
			return len(order) > 0
		}
	}
	return false
}

// freeze keeps xhttpd from running while another one is measured, if one never sleeps.
func (s *stage) freeze(sv *server) {
	s.Helper()
	if compare.Own(sv.name) && restless() {
		sv.bed.Signal(syscall.SIGSTOP)
	}
}

// thaw has it run again, and waits until it has what it has had.
func (s *stage) thaw(sv *server) {
	s.Helper()
	if compare.Own(sv.name) && restless() {
		sv.bed.Signal(syscall.SIGCONT)
		s.until(sv.name+" answers again", func() bool { code, _ := sv.bed.Health(); return code == 200 && s.answers(sv) })
	}
}

// answers reports whether the server gives the first file; xhttpd shall give all of them itself.
func (s *stage) answers(sv *server) bool {
	names := files(s.root)
	if len(names) == 0 || !compare.Own(sv.name) {
		return len(names) == 0 || s.head(sv, names[0])
	}
	before := sv.bed.Metric("responses_total")
	for _, name := range names {
		s.head(sv, name)
	}
	time.Sleep(100 * time.Millisecond) // the counters are published behind the frames
	return sv.bed.Metric("responses_total")-before >= float64(len(names))
}

// head asks for a file as the clients will, and reports whether there is one.
func (s *stage) head(sv *server, name string) bool {
	var conn net.Conn
	var err error
	sv.client.Do(func() { conn, err = net.DialTimeout("tcp", sv.at.IPv4.String()+":80", time.Second) })
	if err != nil {
		return false
	}
	defer conn.Close()
	s.must(conn.SetDeadline(time.Now().Add(5 * time.Second)))
	fmt.Fprintf(conn, "HEAD /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name, sv.at.IPv4)
	answer, err := io.ReadAll(conn)
	return err == nil && strings.HasPrefix(string(answer), "HTTP/1.1 200")
}

var _ testing.TB = (*stage)(nil)
