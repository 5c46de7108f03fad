package xload

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of the histograms: a third of a permille of resolution from 1 µs to 2 minutes.
const (
	lowest  = int64(time.Microsecond)
	highest = int64(2 * time.Minute)
	digits  = 3
)

// Counts are what happened to requests of the measured time.
type Counts struct {
	Done    uint64 // requests that were answered as expected
	Octets  uint64 // of their bodies
	Failed  uint64 // the sum of Errors
	Errors  [Reasons]uint64
	Retried uint64 // sent again because the server had closed the connection
	Unasked uint64 // octets that nobody had asked for came
	Opened  uint64 // connections

	Arrivals uint64 // open loop: requests that were due
	Late     uint64 // of these, that we began more than a millisecond late, for our own fault
	Waited   uint64 // of these, that found no connection free
}

// second is what happened in one second.
type second struct {
	done, failed uint64
	worst        int64 // latency, nanoseconds
}

// meter counts. Requests count if they were intended within [from, to).
type meter struct {
	Counts
	from, to int64
	latency  *hdrhistogram.Histogram
	connect  *hdrhistogram.Histogram
	classes  []class
	received uint64 // octets, also of heads, in the measured time
	all      uint64 // requests that were answered as expected, whenever they were intended
	batches  uint64 // of frames
	frames   uint64
	maxLate  int64
	idle     int64 // nanoseconds, since from
	stalled  int64 // nanoseconds in which nobody let us work
	seconds  []second
}

type class struct {
	name    string
	done    uint64
	octets  uint64
	latency *hdrhistogram.Histogram
}

func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowest, highest, digits) }

func (m *meter) init(classes []string) {
	m.latency, m.connect = histogram(), histogram()
	m.from, m.to = 1<<62, 1<<62
	for _, name := range classes {
		m.classes = append(m.classes, class{name: name, latency: histogram()})
	}
}

// begin measures anew, what is intended from..to.
func (m *meter) begin(from, to int64) {
	m.latency.Reset()
	m.connect.Reset()
	for i := range m.classes {
		m.classes[i].latency.Reset()
		m.classes[i].done, m.classes[i].octets = 0, 0
	}
	seconds := m.seconds[:0]
	if n := int((to-from)/int64(time.Second)) + 1; cap(seconds) < n {
		seconds = make([]second, 0, n)
	}
	*m = meter{latency: m.latency, connect: m.connect, classes: m.classes, seconds: seconds, from: from, to: to}
}

// done counts a request that has come to its end at now.
func (m *meter) done(intended, now int64, of int, octets int64, why Reason) {
	if why == OK {
		m.all++
	}
	if intended < m.from || intended >= m.to {
		return
	}
	took := now - intended
	value := min(max(took, lowest), highest)
	m.latency.RecordValue(value) //nolint:errcheck // it is within the bounds
	if why != OK {
		m.Failed++
		m.Errors[why]++
	} else {
		m.Done++
		m.Octets += uint64(octets)
	}
	c := &m.classes[of]
	c.done++
	c.octets += uint64(octets)
	if len(m.classes) > 1 {
		c.latency.RecordValue(value) //nolint:errcheck // as above
	}
	at := int((now - m.from) / int64(time.Second))
	if at >= cap(m.seconds) {
		return
	}
	if at >= len(m.seconds) {
		m.seconds = m.seconds[:at+1]
	}
	s := &m.seconds[at]
	if why != OK {
		s.failed++
	} else {
		s.done++
	}
	s.worst = max(s.worst, took)
}

func (m *meter) connected(took int64) {
	m.Opened++
	m.connect.RecordValue(min(max(took, lowest), highest)) //nolint:errcheck // within the bounds
}

func (m *meter) octets(n int) { m.received += uint64(n) }

// batch counts frames that came at once.
func (m *meter) batch(n int) {
	if n > 0 {
		m.batches++
		m.frames += uint64(n)
	}
}

// arrival counts a request of an open loop that was noticed late by so much.
func (m *meter) arrival(late int64) {
	m.Arrivals++
	if late > lateNanos {
		m.Late++
	}
	m.maxLate = max(m.maxLate, late)
}

func (m *meter) waited(int64) { m.Waited++ }
