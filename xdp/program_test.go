package xdp

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

func TestMain(m *testing.M) {
	if ifname := os.Getenv(childVariable); ifname != "" {
		child(ifname)
	}
	os.Exit(m.Run())
}

// attached reports whether any XDP program is attached to the server's interface.
func (l *lab) attached() bool {
	l.t.Helper()
	return strings.Contains(l.server.Exec("ip", "link", "show", "dev", l.server.Interface), "xdp")
}

func TestCloseDetaches(t *testing.T) {
	for _, generic := range []bool{false, true} {
		l := newLab(t, nstest.Options{}, generic)
		if !l.attached() {
			t.Fatal("not attached")
		}
		for range 2 {
			if err := l.program.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if l.attached() {
			t.Fatal("still attached")
		}
	}
}

// childVariable makes the test's binary a daemon which attaches to the interface that it names and then hangs.
const childVariable = "XDP_TEST_CHILD"

func child(ifname string) {
	program, err := Open(Config{Interface: ifname, Port: port})
	if err == nil {
		var s *Socket
		if s, err = OpenSocket(SocketConfig{Interface: ifname}); err == nil {
			err = program.Register(0, s)
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("attached")
	select {}
}

// TestKillDetaches: after SIGKILL nothing is left, and a successor can begin at once.
func TestKillDetaches(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	if err := l.program.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := l.server.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVariable+"="+l.server.Interface)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.server.Start(cmd)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "attached\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	if !l.attached() {
		t.Fatal("not attached")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.Now().Add(2 * time.Second); l.attached(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still attached after the process was killed")
		}
	}
	l.server.Do(func() {
		if l.program, err = Open(Config{Interface: l.server.Interface, Port: port, Addresses: []netip.Addr{l.server.IPv4}}); err != nil {
			t.Fatal(err)
		}
	})
	defer l.program.Close()
	s := l.open(SocketConfig{})
	l.beat()
	l.send(l.segment(true))
	receive(t, s, 1)
}

func TestSecondProgramIsRefused(t *testing.T) {
	for _, generic := range []bool{false, true} {
		l := newLab(t, nstest.Options{}, generic)
		for _, second := range []bool{false, true} {
			l.server.Do(func() {
				p, err := Open(Config{Interface: l.server.Interface, Port: port, Generic: second})
				if err == nil {
					p.Close()
				}
				if err == nil || !strings.Contains(err.Error(), "ip link set dev veth xdp off") {
					t.Errorf("generic %v after generic %v: %v", second, generic, err)
				}
			})
		}
		if !l.attached() {
			t.Error("the first program was lost")
		}
	}
}

// TestGenericModeWithAWarning: what keeps a veth from native mode is named.
func TestGenericModeWithAWarning(t *testing.T) {
	for _, c := range []struct {
		opts  nstest.Options
		setup []string
		want  string
	}{
		{nstest.Options{Queues: 2}, []string{"ethtool", "-L", "veth", "rx", "1"}, "fewer receive queues than its veth peer"},
		{nstest.Options{Queues: 2, MTU: 9000}, []string{"ethtool", "-L", "veth", "rx", "1"}, "fewer receive queues than its veth peer"},
	} {
		client, server := nstest.Pair(t, c.opts)
		if c.setup != nil {
			server.Exec(c.setup[0], c.setup[1:]...)
		}
		_ = client
		server.Do(func() {
			p, err := Open(Config{Interface: server.Interface, Port: port})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if p.Mode() != Generic || p.Warning() == nil || !strings.Contains(p.Warning().Error(), c.want) {
				t.Errorf("mode %s, warning %v; want %q", p.Mode(), p.Warning(), c.want)
			}
		})
	}
}

func TestOpenWithoutPrivileges(t *testing.T) {
	_, server := nstest.Pair(t, nstest.Options{})
	done := make(chan [2]error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		var errs [2]error
		server.Do(func() {
			runtime.LockOSThread()
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			var all [2]unix.CapUserData
			if err := unix.Capget(&header, &all[0]); err != nil {
				t.Error(err)
			}
			none[0].Permitted, none[1].Permitted = all[0].Permitted, all[1].Permitted
			if err := unix.Capset(&header, &none[0]); err != nil {
				t.Error(err)
			}
			_, errs[0] = Open(Config{Interface: server.Interface, Port: port})
			_, errs[1] = OpenSocket(SocketConfig{Interface: server.Interface})
			if err := unix.Capset(&header, &all[0]); err != nil { // to leave the namespace
				t.Error(err)
			}
		})
		done <- errs
	}()
	errs := <-done
	if err := errs[0]; !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_BPF") {
		t.Errorf("Open: %v", err)
	}
	if err := errs[1]; !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
		t.Errorf("OpenSocket: %v", err)
	}
}

func TestOpenOfNoInterface(t *testing.T) {
	if _, err := Open(Config{Interface: "absent", Port: port}); err == nil || !strings.Contains(err.Error(), `"absent"`) {
		t.Errorf("%v", err)
	}
}

func TestDevice(t *testing.T) {
	_, server := nstest.Pair(t, nstest.Options{Queues: 3})
	server.Do(func() {
		if n, err := Queues(server.Interface); n != 3 || err != nil {
			t.Errorf("%d queues, %v; want 3", n, err)
		}
		if n, err := Queues("lo"); n != 1 || err != nil {
			t.Errorf("%d queues of a device without ethtool's channels, %v; want 1", n, err)
		}
		if _, err := Queues("absent"); err == nil {
			t.Error("an absent interface has queues")
		}
		if name, err := Driver(server.Interface); name != "veth" || err != nil {
			t.Errorf("driver %q, %v", name, err)
		}
		got, err := Addresses(server.Interface)
		if err != nil || !slices.Contains(got, server.IPv4) || !slices.Contains(got, server.IPv6) {
			t.Errorf("addresses %v, %v", got, err)
		}
	})
	if MaxPacket(2048) != 1778 || MaxPacket(4096) != 3826 {
		t.Errorf("largest packets %d, %d", MaxPacket(2048), MaxPacket(4096))
	}
}

// TestKernelKeepsTheRest: with the program attached and a socket on its queue, what is not ours works as before.
func TestKernelKeepsTheRest(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{})
	for _, ip := range []netip.Addr{l.server.IPv4, l.server.IPv6} {
		l.overUDP(t, ip, 3000) // in fragments
		l.overTCP(t, netip.AddrPortFrom(ip, port+1))
	}
	var frames [8][]byte
	if n := s.Receive(frames[:]); n != 0 {
		t.Errorf("%d frames came that are the kernel's", n)
	}
	l.overTCP(t, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.77"), port)) // not a served address
	if n := s.Receive(frames[:]); n != 0 {
		t.Errorf("%d frames came for another address", n)
	}
}

// overUDP sends a datagram and waits for its echo.
func (l *lab) overUDP(t *testing.T, ip netip.Addr, size int) {
	t.Helper()
	var server net.PacketConn
	var client net.Conn
	l.server.Do(func() {
		var err error
		if server, err = net.ListenPacket("udp", netip.AddrPortFrom(ip, port).String()); err != nil {
			t.Fatal(err)
		}
	})
	defer server.Close()
	l.client.Do(func() {
		var err error
		if client, err = net.Dial("udp", server.LocalAddr().String()); err != nil {
			t.Fatal(err)
		}
	})
	defer client.Close()
	deadline := time.Now().Add(2 * time.Second)
	if err := errors.Join(server.SetDeadline(deadline), client.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, size)
	n, from, err := server.ReadFrom(buffer)
	if err != nil || n != size {
		t.Fatalf("%d octets, %v", n, err)
	}
	if _, err := server.WriteTo(buffer, from); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(buffer); err != nil || n != size {
		t.Fatalf("%d octets, %v", n, err)
	}
}

// overTCP connects; the server's end gets the address if it does not have it.
func (l *lab) overTCP(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	if addr.Addr() != l.server.IPv4 && addr.Addr() != l.server.IPv6 {
		l.server.AddAddress(l.server.Interface, netip.PrefixFrom(addr.Addr(), 24))
	}
	var listener net.Listener
	l.server.Do(func() {
		var err error
		if listener, err = net.Listen("tcp", addr.String()); err != nil {
			t.Fatal(err)
		}
	})
	defer listener.Close()
	l.connect(t, listener, addr)
}
