// Command flood makes hostile traffic against a server, for tests in network namespaces of one's own. It prints what it sent
// as JSON. See package bench/flood.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"github.com/alecthomas/kong"

	"github.com/xhttpd/xhttpd/bench/flood"
	"github.com/xhttpd/xhttpd/internal/wire"
)

type cli struct {
	Kind      string         `arg:"" enum:"syn,ack,rst,data,reuse,half-open,zero-window,tiny-window,slow-reader,idle" help:"${enum}"`
	Interface string         `short:"i" default:"veth" help:"Ethernet interface that it goes out by."`
	MAC       string         `name:"mac" required:"" placeholder:"MAC" help:"Ethernet address of the server."`
	Server    netip.AddrPort `required:"" placeholder:"IP:PORT" help:"Server. It must have a route to the sources, by way of this interface."`
	Sources   netip.Prefix   `default:"198.18.0.0/15" help:"Addresses that the packets claim to come from."`
	Path      string         `default:"/" help:"What clients ask for."`
	Rate      int            `help:"Packets in a second, or new connections; 0: as many as can be."`
	Clients   int            `default:"1000" help:"Connections at once."`
	PerSource int            `default:"1" help:"Connections of one address."`
	ReadRate  int            `default:"100" help:"Of a slow reader, octets in a second."`
	Duration  time.Duration  `short:"d" default:"10s"`
	Seed      uint64         `default:"1"`
}

func main() {
	var c cli
	kong.Parse(&c, kong.Description("Makes hostile traffic against a server, for tests in network namespaces of one's own. Prints what it sent."))
	if err := run(&c); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run(c *cli) error {
	mac, err := net.ParseMAC(c.MAC)
	if err != nil || len(mac) != 6 {
		return fmt.Errorf("--mac %q is not an Ethernet address", c.MAC)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	report, err := flood.Run(ctx, flood.Config{
		Kind: flood.Kind(c.Kind), Interface: c.Interface, ServerMAC: wire.MAC(mac), Server: c.Server, Sources: c.Sources,
		Path: c.Path, Rate: c.Rate, Clients: c.Clients, PerSource: c.PerSource, ReadRate: c.ReadRate, Seed: c.Seed,
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}
