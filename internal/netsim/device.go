package netsim

import (
	"bytes"
	"fmt"
	"time"
)

// Device stands for one queue of a network interface with AF_XDP rings. It has as many frames as it was made
// with, and watches over them: each belongs to the pool, to the server, or to the transmit ring.
//
//	pool ── Alloc ──► lent ── Send ──► in flight ── sent ──► pool
//
// A frame that is sent twice, was never lent, or is written to while it is not the server's ends the run.
type Device struct {
	net      *Net
	rx       [][]byte // frames of the receive direction that wait in the ring
	rxFree   [][]byte
	rxLent   [][]byte // by the last Receive
	tx       []txFrame
	index    map[*byte]int
	pool     []int
	txTime   time.Duration
	busy     int64 // until when the device is sending
	stats    DeviceStats
	received func()

	// Answer, if not nil, stands for a program in front of the ring: what it does not return nil for is answered by that, if that is
	// a frame, and goes no further.
	Answer func(frame []byte) []byte
}

// DeviceStats are a device's totals.
type DeviceStats struct{ Received, Overflowed, Sent, Refused int }

type txFrame struct {
	mem   []byte
	owner owner
	sent  []byte // a copy of what is in flight
}

type owner uint8

const (
	inPool owner = iota
	lent
	inFlight
)

// poison is what frames hold while they are nobody's.
const poison = 0xdb

func newDevice(n *Net, cfg HostConfig) *Device {
	size, rx, tx := 2048, 512, 512
	if cfg.FrameSize > 0 {
		size = cfg.FrameSize
	}
	if cfg.RxFrames > 0 {
		rx = cfg.RxFrames
	}
	if cfg.TxFrames > 0 {
		tx = cfg.TxFrames
	}
	d := &Device{net: n, txTime: cfg.TxTime, index: map[*byte]int{}}
	if d.txTime == 0 {
		d.txTime = time.Microsecond
	}
	for range rx {
		d.rxFree = append(d.rxFree, poisoned(size))
	}
	for i := range tx {
		f := txFrame{mem: poisoned(size)}
		d.tx = append(d.tx, f)
		d.index[&f.mem[0]] = i
		d.pool = append(d.pool, i)
	}
	return d
}

func poisoned(n int) []byte { return bytes.Repeat([]byte{poison}, n) }

func isPoisoned(b []byte) bool {
	for _, c := range b {
		if c != poison {
			return false
		}
	}
	return true
}

// arrive puts a copy of frame into the receive ring, if there is a frame left for it, and reports whether.
func (d *Device) arrive(frame []byte) bool {
	if d.Answer != nil {
		switch answer := d.Answer(frame); {
		case answer == nil:
		case len(answer) == 0:
			return true
		default:
			d.net.After(0, func() { d.net.host.inspect(answer, false) }) // when the client knows what has arrived
			d.net.After(d.txTime, func() { d.net.host.forward(answer) })
			return true
		}
	}
	if len(d.rxFree) == 0 {
		d.stats.Overflowed++
		d.net.note("rx full", frame)
		d.received() // all frames may be lent since the last Receive; a real loop looks in from time to time
		return false
	}
	last := len(d.rxFree) - 1
	f := d.rxFree[last]
	d.rxFree = d.rxFree[:last]
	d.rx = append(d.rx, f[:copy(f, frame)])
	d.stats.Received++
	d.received()
	return true
}

// Receive fills frames with received ones and returns how many. They are the caller's until the next Receive.
func (d *Device) Receive(frames [][]byte) int {
	for _, f := range d.rxLent {
		f = f[:cap(f)]
		for i := range f {
			f[i] = poison
		}
		d.rxFree = append(d.rxFree, f)
	}
	n := copy(frames, d.rx)
	d.rxLent = append([][]byte(nil), frames[:n]...)
	d.rx = append([][]byte(nil), d.rx[n:]...)
	return n
}

// Alloc lends empty frames for sending; none while all are in flight.
func (d *Device) Alloc(frames [][]byte) int {
	n := min(len(frames), len(d.pool))
	if n == 0 && len(frames) > 0 {
		d.stats.Refused++
	}
	for i := range n {
		f := &d.tx[d.pool[i]]
		if !isPoisoned(f.mem) {
			d.net.Failf("a frame was written to while it was in the pool")
		}
		clear(f.mem)
		f.owner = lent
		frames[i] = f.mem
	}
	d.pool = d.pool[n:]
	return n
}

// Send takes frames from Alloc, cut to their length.
func (d *Device) Send(frames [][]byte) int {
	for _, frame := range frames {
		if cap(frame) == 0 {
			d.net.Failf("Send of nothing")
			return 0
		}
		i, ok := d.index[&frame[:1][0]]
		switch {
		case !ok:
			d.net.Failf("Send of a frame that is not the device's")
			return 0
		case d.tx[i].owner != lent:
			d.net.Failf("Send of a frame that is not lent: sent twice?")
			return 0
		case len(frame) < 54:
			d.net.Failf("Send of %d octets", len(frame))
			return 0
		}
		f := &d.tx[i]
		f.owner = inFlight
		f.sent = bytes.Clone(frame)
		d.stats.Sent++
		d.net.host.inspect(f.sent, false)
		d.busy = max(d.busy, d.net.now) + int64(d.txTime)
		d.net.After(time.Duration(d.busy-d.net.now), func() { d.complete(i) })
	}
	return len(frames)
}

// complete is the end of the transmission of frame i.
func (d *Device) complete(i int) {
	f := &d.tx[i]
	if !bytes.Equal(f.mem[:len(f.sent)], f.sent) {
		d.net.Failf("a frame was written to while it was being sent")
	}
	copy(f.mem, poisoned(len(f.mem)))
	f.owner = inPool
	d.pool = append(d.pool, i)
	d.net.host.forward(f.sent)
	f.sent = nil
}

// Wait must not be called: in virtual time there is nobody to wait.
func (d *Device) Wait(time.Duration) { d.net.Failf("Wait in virtual time") }

// Lent is how many frames the server has from Alloc now.
func (d *Device) Lent() (n int) {
	for i := range d.tx {
		if d.tx[i].owner == lent {
			n++
		}
	}
	return n
}

// Check returns what is wrong with the account of frames when nothing is on its way: frames in flight, frames
// not received, or more frames lent than the server may keep for its next batch.
func (d *Device) Check(mayKeep int) error {
	flying := len(d.tx) - len(d.pool) - d.Lent()
	switch {
	case flying > 0:
		return fmt.Errorf("%d frames are in flight", flying)
	case d.Lent() > mayKeep:
		return fmt.Errorf("%d frames are lent", d.Lent())
	case len(d.rx) > 0:
		return fmt.Errorf("%d frames were not received", len(d.rx))
	}
	return nil
}

// Stats returns the device's totals.
func (d *Device) Stats() DeviceStats { return d.stats }
