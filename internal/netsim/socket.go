package netsim

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/xhttpd/xhttpd/tcpstate"
)

// socket is a connection of the Kernel's, with its web server.
type socket struct {
	*endpoint
	kernel   *Kernel
	halfOpen bool // its handshake is not complete
	synack   func()

	requests []Request
	done     int64 // octets of requests that were answered
	want     int64 // octets that the next request takes, or 0 if not known
}

// Request is what the kernel's server has received.
type Request struct {
	Method, Target string
	Body           []byte
}

// maxKernelWindow is what a hand-over may have promised at most: what the kernel's own socket begins with. It is more
// than the 64,000 octets that are meant, since window scaling rounds up anew with each acknowledgment.
const maxKernelWindow = 65535

func (k *Kernel) newSocket(s *segment) *socket {
	sock := &socket{endpoint: &endpoint{pol: Policy{Flight: 14600}}, kernel: k}
	sock.init(k.net)
	sock.pol.setDefaults(false)
	sock.name = "kernel"
	sock.local, sock.remote = s.dst, s.src
	sock.localMAC, sock.remoteMAC = hostMAC, clientMAC
	sock.emit, sock.changed = k.output, sock.serve
	k.sockets[s.src] = sock
	return sock
}

// assign makes a socket out of the segment s, as bpf_sk_assign_tcp_reqsk does.
func (k *Kernel) assign(s *segment, h *tcpstate.Handover) {
	sock := k.newSocket(s)
	v := &k.net.host.clients[s.src].check
	sock.iss, sock.irs = s.ack-1, s.seq-1
	sock.mss = int(h.MSS)
	if h.WScaleOK {
		sock.sndShift, sock.rcvShift = h.SndWScale, h.RcvWScale
	}
	sock.sackOK, sock.tsOK, sock.tsOffset, sock.tsRecent = h.SACKOK, h.TimestampsOK, h.TSOffset, s.val
	sock.edge = int64(s.wnd) << sock.sndShift
	sock.wndEdge = v.wndEdge - offset(s.seq, v.c.iss, v.arrived.end())
	if s.ack != uint32(h.Ack) || sock.wndEdge > maxKernelWindow || s.ts != h.TimestampsOK {
		v.failf("injects %s for %+v, and has promised a window of %d", describe(s.encode()), *h, sock.wndEdge)
	}
	sock.input(s)
}

// listen answers a SYN.
func (k *Kernel) listen(s *segment) {
	k.stats.Accepted++
	sock := k.newSocket(s)
	sock.halfOpen = true
	sock.iss, sock.irs = k.net.Rand.Uint32(), s.seq
	sock.mss = 536
	if s.mss > 0 {
		sock.mss = s.mss
	}
	if s.wscale >= 0 {
		sock.sndShift, sock.rcvShift = uint8(s.wscale), 7
	}
	sock.sackOK, sock.tsOK, sock.tsOffset, sock.tsRecent = s.sackOK, s.ts, k.net.Rand.Uint32(), s.val
	sock.wndEdge = int64(sock.pol.Buffer)
	sock.synack = func() {
		r := sock.segment(-1)
		r.syn, r.wnd, r.mss, r.sackOK = true, uint16(sock.pol.Buffer), 1460, sock.sackOK
		if s.wscale >= 0 {
			r.wscale = 7
		}
		k.output(r)
	}
	sock.synack()
}

// take takes in a segment of the connection.
func (k *socket) take(s *segment) {
	if k.halfOpen {
		if !s.isACK || s.syn || s.ack != k.iss+1 {
			k.synack()
			return
		}
		k.halfOpen = false
	}
	k.input(s)
}

// serve answers the requests that are complete, and closes behind the last one.
func (k *socket) serve() {
	for !k.gone && !k.closing && k.serveOne() {
	}
	if !k.gone && !k.closing && k.peerFIN >= 0 && k.rcvNxt > k.peerFIN {
		k.Close()
	}
}

func (k *socket) serveOne() bool {
	have := k.in[k.done:min(k.rcvNxt, int64(len(k.in)))]
	// RFC 9112, 2.2: a server SHOULD ignore at least one empty line in front of a request.
	for k.want == 0 && (bytes.HasPrefix(have, []byte("\r\n")) || bytes.HasPrefix(have, []byte("\n"))) {
		n := bytes.IndexByte(have, '\n') + 1
		k.done, have = k.done+int64(n), have[n:]
	}
	if int64(len(have)) < k.want || len(have) == 0 {
		return false
	}
	end := bytes.Index(have, []byte("\r\n\r\n"))
	if end < 0 {
		return false
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(have)))
	if err != nil {
		k.net.Failf("kernel: the client's request does not arrive as it was sent: %v: %.60q", err, have)
		return false
	}
	k.want = int64(end+4) + max(r.ContentLength, 0)
	if int64(len(have)) < k.want {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		k.net.Failf("kernel: body: %v", err)
		return false
	}
	k.requests = append(k.requests, Request{r.Method, r.RequestURI, body})
	k.done += k.want
	k.want = 0
	response, closes := k.kernel.Answer(r, body)
	k.Send(response)
	if closes {
		k.Close()
	}
	return true
}

// DefaultAnswer answers 200 with what it was asked: method, target, and the body's length and SHA-256. Its
// field Server says "kernel".
func DefaultAnswer(r *http.Request, body []byte) (response []byte, closes bool) {
	content := fmt.Sprintf("%s %s %d %x\n", r.Method, r.RequestURI, len(body), sha256.Sum256(body))
	closes = r.Close || !r.ProtoAtLeast(1, 1)
	head := "HTTP/1.1 200 OK\r\nServer: kernel\r\nContent-Length: " + strconv.Itoa(len(content)) + "\r\n"
	if closes {
		head += "Connection: close\r\n"
	}
	if r.Method == http.MethodHead {
		content = ""
	}
	return []byte(head + "\r\n" + content), closes
}
