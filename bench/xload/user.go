package xload

import (
	"time"

	"github.com/xhttpd/xhttpd/bench/xload/tcpclient"
	"github.com/xhttpd/xhttpd/internal/wire"
)

const (
	maxTries = 3
	// pause is how long a user waits before it connects again to a server that has refused.
	pause = 100 * time.Millisecond
)

// event takes in what has happened to a connection.
func (g *Generator) event(e *tcpclient.Event) {
	u := g.owners[e.Conn]
	if u == none {
		return
	}
	x := &g.users[u]
	if e.What&tcpclient.Opened != 0 {
		x.up = true
		g.meter.connected(g.now - x.since)
		g.mark(u)
	}
	if e.What&tcpclient.Data != 0 && !g.read(u, e.Data) {
		return
	}
	if e.What&tcpclient.EOF != 0 {
		g.end(u)
	}
	if e.What&tcpclient.Reset != 0 {
		g.reset(u)
	}
}

// read takes in octets of the server's. It returns false if the connection is no longer the user's.
func (g *Generator) read(u int32, b []byte) bool {
	x := &g.users[u]
	g.meter.octets(len(b))
	for len(b) > 0 {
		if x.sent == 0 {
			g.meter.Unasked++
			g.abandon(u)
			return false
		}
		n, done, why := x.feed(b, g.heads, &g.targets[g.pending(u, 0).target].head, g.cfg.Sum)
		b = b[n:]
		if why != OK {
			g.fail(u, why)
			g.abandon(u)
			return false
		}
		if done && !g.complete(u) {
			return false
		}
	}
	return true
}

// complete ends the oldest request of user u, whose response has come whole. It returns false if the connection is no longer
// the user's.
func (g *Generator) complete(u int32) bool {
	x := &g.users[u]
	p := g.pending(u, 0)
	t := &g.targets[p.target]
	why := g.judge(x, t)
	g.meter.done(p.intended, g.now, t.class, x.got, why)
	x.answered++
	shut := x.shut || g.cfg.NewConnections // the server ends it
	enough := g.cfg.PerConnection > 0 && int(x.answered) >= g.cfg.PerConnection
	x.begin()
	conn := x.conn
	if shut || enough {
		g.detach(u)
	}
	g.pop(u)
	switch {
	case shut:
		g.stack.Leave(conn, g.now)
	case enough:
		g.stack.Close(conn, g.now)
	}
	return !shut && !enough
}

// judge compares a response with what was expected, or learns it.
func (g *Generator) judge(x *user, t *target) Reason {
	switch {
	case int(x.status) != g.cfg.Status:
		return Status
	case t.length < 0:
		t.length = x.got
	case t.length != x.got:
		return Length
	}
	if !g.cfg.Sum {
		return OK
	}
	if !t.summed {
		t.summed, t.sum = true, x.crc
	}
	if t.sum != x.crc {
		return Checksum
	}
	return OK
}

// pop removes the oldest request of user u, which can take another one from now on.
func (g *Generator) pop(u int32) {
	x := &g.users[u]
	if x.first++; int(x.first) == g.cfg.Pipeline {
		x.first = 0
	}
	x.count--
	g.underway--
	if x.sent > 0 {
		x.sent--
	}
	if x.count == 0 {
		g.wheel.Clear(u)
		if g.cfg.Think > 0 && !g.schedule.open {
			x.thinking = true
			g.wheel.Set(u, g.now+int64(g.cfg.Think))
		}
	}
	if g.schedule.open {
		g.release(u)
	}
	g.mark(u)
}

// fail ends the oldest request of user u, if there is one, as failed.
func (g *Generator) fail(u int32, why Reason) {
	if g.users[u].count == 0 {
		return
	}
	p := g.pending(u, 0)
	g.meter.done(p.intended, g.now, g.targets[p.target].class, 0, why)
	g.pop(u)
}

// detach parts a user from its connection. What was sent and not answered will be sent on another.
func (g *Generator) detach(u int32) {
	x := &g.users[u]
	if x.conn == none {
		return
	}
	g.owners[x.conn] = none
	x.drop(g.heads)
	x.conn, x.up, x.sent, x.answered = none, false, 0, 0
	g.mark(u)
}

// abandon resets a user's connection.
func (g *Generator) abandon(u int32) {
	if conn := g.users[u].conn; conn != none {
		g.detach(u)
		g.stack.Abort(conn)
	}
}

// end is the server's end of a connection.
func (g *Generator) end(u int32) {
	x := &g.users[u]
	switch {
	case x.phase == untilClose:
		g.complete(u)
		return
	case x.begun():
		g.fail(u, Truncated)
	default:
		g.again(u)
	}
	if x.conn != none {
		conn := x.conn
		g.detach(u)
		g.stack.Leave(conn, g.now)
	}
}

// reset is a connection that the server has reset, or has not taken.
func (g *Generator) reset(u int32) {
	x := &g.users[u]
	switch {
	case !x.up:
		g.fail(u, Refused)
		g.wait(u, pause)
	case x.begun():
		g.fail(u, Truncated)
	default:
		g.again(u)
	}
	g.detach(u)
}

// again has the requests that were sent and got nothing sent on another connection: a server may close one that it takes for
// idle at any time (RFC 9112, 9.5). The oldest one fails when that happens too often.
func (g *Generator) again(u int32) {
	x := &g.users[u]
	if x.sent == 0 {
		return
	}
	p := g.pending(u, 0)
	if p.tries++; p.tries >= maxTries {
		g.fail(u, Lost)
		return
	}
	g.meter.Retried += uint64(x.sent)
}

// serve has user u do what it can.
func (g *Generator) serve(u int32) {
	x := &g.users[u]
	if x.waiting {
		return
	}
	if !g.schedule.open && !g.schedule.draining && !x.thinking {
		for int(x.count) < g.cfg.Pipeline {
			g.ask(u, g.now)
		}
	}
	if x.count == 0 || x.count == x.sent {
		return
	}
	if x.conn == none {
		g.connect(u)
		return
	}
	if x.up {
		g.send(u)
	}
}

// wait keeps user u from doing anything for a while.
func (g *Generator) wait(u int32, d time.Duration) {
	g.users[u].waiting = true
	g.wheel.Set(u, g.now+int64(d))
}

// ask gives user u a request.
func (g *Generator) ask(u int32, intended int64) {
	x := &g.users[u]
	x.count++
	g.underway++
	*g.pending(u, int(x.count)-1) = pending{intended: intended, begun: g.now, target: g.choose(x)}
	if x.count == 1 {
		g.wheel.Set(u, g.now+int64(g.cfg.Timeout))
	}
}

// choose returns what a user asks for next.
func (g *Generator) choose(x *user) int32 {
	if g.cfg.InTurn {
		return int32(int(x.answered) % len(g.targets))
	}
	return g.draw.draw(g.rnd)
}

func (g *Generator) connect(u int32) {
	x := &g.users[u]
	conn, ok := g.stack.Open(g.now)
	if !ok { // a place will be free when a connection has ended
		g.wait(u, time.Millisecond)
		return
	}
	g.owners[conn] = u
	x.begin()
	x.conn, x.up, x.since = conn, false, g.now
}

// send sends what user u has not sent yet, as many requests in a segment as fit.
func (g *Generator) send(u int32) {
	x := &g.users[u]
	for x.sent < x.count {
		room := g.stack.Room(x.conn)
		if room == nil { // the device is busy
			g.wait(u, time.Millisecond)
			return
		}
		seq, n := g.stack.Next(x.conn), 0
		for x.sent < x.count {
			p := g.pending(u, int(x.sent))
			text := g.targets[p.target].text
			if n+len(text) > len(room) {
				break
			}
			p.seq = uint32(seq) + uint32(n)
			n += copy(room[n:], text)
			x.sent++
		}
		if n == 0 { // the server takes only tiny segments
			g.fail(u, Lost)
			g.abandon(u)
			return
		}
		g.stack.Request(x.conn, n, g.now)
	}
}

// resend sends what e asks for, as far as it fits into a segment.
func (g *Generator) resend(e *tcpclient.Event) {
	u := g.owners[e.Conn]
	if u == none {
		g.stack.Abort(e.Conn)
		return
	}
	x := &g.users[u]
	room := g.stack.Room(e.Conn)
	n := 0
	for k := range int(x.sent) {
		if room == nil {
			return // the next time-out tries again
		}
		p := g.pending(u, k)
		text := g.targets[p.target].text
		off := int(e.Seq.Add(uint32(n)).Sub(wire.Seq(p.seq)))
		if off < 0 || off >= len(text) {
			continue
		}
		n += copy(room[n:], text[off:])
	}
	if n > 0 {
		g.stack.Resend(e.Conn, e.Seq, n)
	}
}
