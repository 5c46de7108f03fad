package nstest

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// The router complains of what does not fit, unless it is a black hole, and forwards what does.
func TestRouted(t *testing.T) {
	for name, path := range map[string]Path{
		"wide":       {},
		"narrow":     {MTU: 1300},
		"black hole": {MTU: 1300, BlackHole: true},
	} {
		t.Run(name, func(t *testing.T) {
			client, router, server := Routed(t, path)
			watched := server // where the end of a packet that does not arrive can be seen
			if path.BlackHole {
				watched = router
			}
			for _, ip := range []netip.Addr{client.IPv4, client.IPv6} {
				exchange(t, server, client, netip.AddrPortFrom(ip, 80))
				headers := 20 + 8
				if ip.Is6() {
					headers = 40 + 8
				}
				got, complaints := datagram(t, server, watched, client, ip, 1300-headers)
				if !got || complaints {
					t.Errorf("%s, packet of 1300: arrived %v, complaints %v", ip, got, complaints)
				}
				got, complaints = datagram(t, server, watched, client, ip, 1301-headers)
				if got != (path.MTU == 0) || complaints != (path.MTU > 0 && !path.BlackHole) {
					t.Errorf("%s, packet of 1301: arrived %v, complaints %v", ip, got, complaints)
				}
			}
		})
	}
}

// datagram sends n octets by UDP. It reports whether they have arrived, and whether the sender was told that they were too
// many. It waits until they have arrived, or watched has refused them or was told so.
func datagram(t *testing.T, from, watched, to *NS, ip netip.Addr, n int) (arrived, complaint bool) {
	t.Helper()
	var in net.PacketConn
	to.Do(func() {
		var err error
		if in, err = net.ListenPacket("udp", netip.AddrPortFrom(ip, 7).String()); err != nil {
			t.Fatal(err)
		}
	})
	defer in.Close()
	before, refused := told(from, ip), tooBig(watched, ip)+told(watched, ip)
	from.Do(func() {
		out, err := net.Dial("udp", in.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if _, err := out.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); !arrived && tooBig(watched, ip)+told(watched, ip) == refused; {
		if time.Now().After(deadline) {
			t.Fatal("neither arrived nor refused")
		}
		if err := in.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if got, _, err := in.ReadFrom(make([]byte, 2000)); err == nil {
			arrived = got == n
		}
	}
	return arrived, told(from, ip) != before
}

// tooBig is how many packets n could not forward because of their size; told, how many such messages it got. As text: they
// are compared only.
func tooBig(n *NS, ip netip.Addr) string {
	if ip.Is4() {
		return counter(n, "/proc/net/snmp", "Ip:", "FragFails")
	}
	return counter(n, "/proc/net/snmp6", "Ip6InTooBigErrors", "")
}

func told(n *NS, ip netip.Addr) string {
	if ip.Is4() {
		return counter(n, "/proc/net/snmp", "Icmp:", "InDestUnreachs")
	}
	return counter(n, "/proc/net/snmp6", "Icmp6InPktTooBigs", "")
}

// counter reads one of the kernel's. In snmp each line of values follows one of names; snmp6 has one for each line.
func counter(n *NS, file, line, column string) string {
	n.t.Helper()
	k := 1
	for text := range strings.Lines(n.Exec("cat", file)) {
		fields := strings.Fields(text)
		if len(fields) == 0 || fields[0] != line {
			continue
		}
		if column == "" || k > 1 {
			return fields[k]
		}
		for i, name := range fields {
			if name == column {
				k = i
			}
		}
	}
	n.t.Fatalf("%s has no %s %s", file, line, column)
	return ""
}
