// Command peer is a static file server, by the means of one of the packages that somebody would take who writes one in Go. scripts/bench
// sets xhttpd beside it. It is a module of its own, so that what it needs does not become a dependency of xhttpd.
//
//	peer nethttp  -root DIR -listen ADDRESS:PORT
//	peer fasthttp -root DIR -listen ADDRESS:PORT
//	peer gvisor   -root DIR -listen ADDRESS:PORT -interface NAME    fasthttp over gVisor's netstack, which has the interface to itself
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/valyala/fasthttp"
)

type options struct {
	root, ifname string
	address      netip.AddrPort
}

var kinds = map[string]func(*options) error{"nethttp": netHTTP, "fasthttp": fastHTTP, "gvisor": gVisor}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || kinds[args[0]] == nil {
		return errors.New("the first argument is nethttp, fasthttp or gvisor")
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&o.root, "root", "", "directory of files")
	flags.StringVar(&o.ifname, "interface", "", "gvisor: the interface that it has to itself")
	listen := flags.String("listen", "", "address and port")
	err := flags.Parse(args[1:])
	if err == nil {
		o.address, err = netip.ParseAddrPort(*listen)
	}
	if err != nil {
		return err
	}
	return kinds[args[0]](&o)
}

// netHTTP is the standard library as it comes.
func netHTTP(o *options) error {
	server := &http.Server{Addr: o.address.String(), Handler: http.FileServer(http.Dir(o.root)), ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

func fastHTTP(o *options) error {
	l, err := net.Listen("tcp", o.address.String())
	if err != nil {
		return err
	}
	return serveFast(o, l)
}

// serveFast serves files that fasthttp keeps open, or in memory if they are small, as its documentation advises for speed.
func serveFast(o *options, l net.Listener) error {
	files := &fasthttp.FS{Root: o.root, CacheDuration: time.Hour, AcceptByteRange: true}
	server := &fasthttp.Server{Handler: files.NewRequestHandler(), Concurrency: 1 << 20}
	return server.Serve(l)
}
