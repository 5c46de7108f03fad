package netsim

import "time"

// Link is one direction of the way between a client and the host. The zero value is a link without delay that
// loses nothing.
type Link struct {
	// Delay is how long each frame takes, Jitter the most by which it may take longer. Frames stay in order.
	Delay, Jitter time.Duration
	// Loss, Duplicate and Reorder are probabilities, for each frame. A frame that is reordered comes later
	// than it should, by as much as ReorderBy (default 10 ms), and others overtake it. So does a double.
	Loss, Duplicate, Reorder float64
	ReorderBy                time.Duration
	// Rate is how many octets pass in a second; 0: any number. At most Queue octets wait (default: any
	// number); what comes on top is lost.
	Rate, Queue int
	// Corrupt is the probability that a bit behind the Ethernet header is flipped. Only for links to the
	// host: a client takes what is wrong for the server's fault.
	Corrupt float64
	// Drop, if not nil, is asked for each frame, counted from 0, whether it is lost.
	Drop func(count int, frame []byte) bool
}

// LinkStats are a link's totals.
type LinkStats struct{ Sent, Lost, Doubled, Reordered, Overflowed, Corrupted int }

type link struct {
	Link
	net      *Net
	name     string
	stats    LinkStats
	busy     int64 // until when the link is sending what waits
	last     int64 // when the last frame in order arrives
	deliver  func(frame []byte)
	perOctet float64 // ns
}

func newLink(n *Net, name string, cfg Link, deliver func([]byte)) *link {
	l := &link{Link: cfg, net: n, name: name, deliver: deliver}
	if l.ReorderBy == 0 {
		l.ReorderBy = 10 * time.Millisecond
	}
	if l.Rate > 0 {
		l.perOctet = 1e9 / float64(l.Rate)
	}
	return l
}

// send takes frame, which is the link's from now on.
func (l *link) send(frame []byte) {
	l.stats.Sent++
	switch {
	case l.Drop != nil && l.Drop(l.stats.Sent-1, frame), l.net.chance(l.Loss):
		l.stats.Lost++
		l.net.note(l.name+" lost", frame)
		return
	case l.Queue > 0 && float64(l.busy-l.net.now) > float64(l.Queue)*l.perOctet:
		l.stats.Overflowed++
		l.net.note(l.name+" full", frame)
		return
	}
	l.busy = max(l.busy, l.net.now) + int64(float64(len(frame))*l.perOctet)
	l.arrive(frame, l.net.chance(l.Reorder))
	if l.net.chance(l.Duplicate) {
		l.stats.Doubled++
		l.arrive(frame, true)
	}
}

// arrive lets frame come out of the other end, in order or late.
func (l *link) arrive(frame []byte, late bool) {
	at := l.busy + int64(l.Delay+l.net.between(l.Jitter))
	if late {
		l.stats.Reordered++
		at += int64(l.net.between(l.ReorderBy))
	} else {
		at = max(at, l.last)
		l.last = at
	}
	l.net.After(time.Duration(at-l.net.now), func() {
		if l.net.chance(l.Corrupt) {
			l.stats.Corrupted++
			frame = append([]byte(nil), frame...)
			bit := 14*8 + l.net.Rand.IntN((len(frame)-14)*8)
			frame[bit/8] ^= 1 << (bit % 8)
		}
		l.deliver(frame)
	})
}
