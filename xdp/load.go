package xdp

import (
	"net"
	"sync/atomic"
)

// ringLoad says how many packets wait in a socket's ring: the steering program counts what it gives to the ring, the socket what
// it takes out of it. When too many wait, the program decides itself what to do with segments of unknown connections
// (bpf/crowd.h).
type ringLoad steerRingLoad

// take notes that n packets were taken out of the ring.
func (l *ringLoad) take(n uint32) {
	if l != nil {
		atomic.StoreUint64(&l.Taken, l.Taken+uint64(n)) // nobody else writes it
	}
}

// empty notes that the ring is empty: packets that were lost on their way into it were counted as given. Those that are on
// their way now are taken for lost; they make the ring seem emptier than it is until it is empty the next time.
func (l *ringLoad) empty() {
	if l == nil {
		return
	}
	if given := atomic.LoadUint64(&l.Given); given != l.Taken {
		atomic.StoreUint64(&l.Taken, given)
	}
}

// Leaving are words by which the loop of a queue has the program leave new connections to the kernel (bpf/leave.h): until when SYNs are
// noted, ns of CLOCK_MONOTONIC; until when those are left that were not; and the bits of a hash that are 0 for those that are not left all the same.
// They are to be written atomically, until Close, and are 0 in the beginning.
func (p *Program) Leaving(queue int) (note, leave, mask *uint64) {
	load := &p.loads[queue]
	return &load.NoteUntil, &load.LeaveUntil, &load.SampleMask
}

// settings are a in the program's form.
func (a *Answers) settings(iface *net.Interface) steerSynSettings {
	bit := func(on bool) uint8 {
		if on {
			return 1
		}
		return 0
	}
	s := steerSynSettings{
		Mss4: a.MSS4, Mss6: a.MSS6, Window: a.Window, Wscale: a.WScale,
		Timestamps: bit(a.Timestamps), Sack: bit(a.SACK), WindowScaling: bit(a.WindowScaling), Ecn: bit(a.ECN),
	}
	copy(s.Mac[:], iface.HardwareAddr)
	return s
}
