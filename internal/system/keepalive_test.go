package system

import (
	"bufio"
	"fmt"
	"net/textproto"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// What a site says about persistence is its own, and what it says after its configuration was read again.
func TestKeepAliveFollows(t *testing.T) {
	const hosts = `
KeepAliveTimeout %d
<VirtualHost *:80>
	ServerName one.test
	DocumentRoot ${TESTBED}/www
	MaxKeepAliveRequests %d
</VirtualHost>
<VirtualHost *:80>
	ServerName two.test
	DocumentRoot ${TESTBED}/www
	KeepAliveTimeout %d
	MaxKeepAliveRequests 0
</VirtualHost>
<VirtualHost *:80>
	ServerName three.test
	DocumentRoot ${TESTBED}/www
	KeepAlive Off
</VirtualHost>
`
	conf := func(n int) string { return fmt.Sprintf(hosts, 10+n, 20+n, 30+n) }
	b := testbed.Start(t, testbed.Options{Config: conf(0)})
	b.Put("a.png", content(300))
	for n := range 3 {
		if n > 0 {
			b.Reload(conf(n))
		}
		for host, want := range map[string][2]string{
			"one.test":   {fmt.Sprintf("timeout=%d, max=%d", 10+n, 20+n), "Keep-Alive"},
			"two.test":   {fmt.Sprintf("timeout=%d", 30+n), "Keep-Alive"},
			"three.test": {"", "close"},
		} {
			deadline := time.Now().Add(time.Minute)
			for {
				before, _ := settled(b)
				got := persistence(t, b, host)
				after, _ := settled(b)
				if ours := after > before; ours && got == want {
					break
				} else if time.Now().After(deadline) {
					t.Fatalf("after %d reloads, %s says %q, by xhttpd: %v; want %q", n, host, got, ours, want)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
}

// persistence returns the fields Keep-Alive and Connection of a first answer to a client that wants to go on.
func persistence(t *testing.T, b *testbed.Bed, host string) (fields [2]string) {
	t.Helper()
	conn, err := b.Dial(false)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say(t, conn, "GET /a.png HTTP/1.1\r\nHost: "+host+"\r\nConnection: keep-alive\r\n\r\n")
	lines := textproto.NewReader(bufio.NewReader(conn))
	if _, err := lines.ReadLine(); err != nil {
		t.Fatal(err)
	}
	header, err := lines.ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	return [2]string{header.Get("Keep-Alive"), header.Get("Connection")}
}
