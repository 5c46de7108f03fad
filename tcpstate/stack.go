package tcpstate

// Stack is what the connections of one loop share: how they control congestion, and the memory for what
// they have in flight. A connection takes a part of it when it begins to send and gives it back when
// everything is acknowledged, so that an idle connection costs its Conn and nothing else.
//
// It belongs to one goroutine. A Conn must be used with one Stack only, and after its last use be given to
// Release.
type Stack struct {
	control Control
	flights []flight // index 0: none
	runs    []run    // index 0: none
	controllers
	freeFlight, freshFlight,
	freeRun, freshRun uint32
	usedFlights, usedRuns int
	ack                   ackEvent // of the segment that is being taken in
}

// StackConfig sizes a Stack. Memory is touched only when it is used.
type StackConfig struct {
	Control Control
	// Flights is how many connections may have something in flight at once: at least as many as there may
	// be connections. Default 65,536.
	Flights int
	// Runs is how many stretches of octets with a fate of their own may be told apart in all, of 32
	// octets of memory each. When they are used up, the record of what is in flight gets coarser, and
	// retransmissions with it. Default four for each flight.
	Runs int
}

// maxRuns bounds the runs of one connection with segments of 1,024 octets and more, and so the time that an acknowledgment takes that tells something new.
const maxRuns = 8192

// NewStack returns a Stack for cfg.
func NewStack(cfg StackConfig) *Stack {
	if cfg.Flights <= 0 {
		cfg.Flights = 65536
	}
	if cfg.Runs <= 0 {
		cfg.Runs = 4 * cfg.Flights
	}
	return &Stack{
		control: cfg.Control, controllers: newControllers(cfg.Control, cfg.Flights+1), flights: make([]flight, cfg.Flights+1), runs: make([]run, cfg.Runs+1), freshFlight: 1, freshRun: 1,
	}
}

// InUse returns how many flights and runs are taken.
func (st *Stack) InUse() (flights, runs int) { return st.usedFlights, st.usedRuns }

// Release gives back what c has taken. c may be used again, or forgotten.
func (st *Stack) Release(c *Conn) {
	if c.flight == 0 {
		return
	}
	f := &st.flights[c.flight]
	st.dropRuns(f)
	f.nextFree = st.freeFlight
	st.freeFlight = c.flight
	st.usedFlights--
	c.flight = 0
}

// of returns the flight of c, or nil.
func (st *Stack) of(c *Conn) *flight {
	if c.flight == 0 {
		return nil
	}
	return &st.flights[c.flight]
}

// begin gives c a flight.
func (st *Stack) begin(c *Conn, now Time) *flight {
	i := st.freeFlight
	switch {
	case i != 0:
		st.freeFlight = st.flights[i].nextFree
	case int(st.freshFlight) < len(st.flights):
		i = st.freshFlight
		st.freshFlight++
	default:
		panic("tcpstate: a Stack with fewer flights than connections")
	}
	st.usedFlights++
	c.flight = i
	st.flights[i].init(c, st.controller(c), now)
	return &st.flights[i]
}

// end takes the flight of c back when nothing is in flight and nothing waits to be, and lets c remember what
// was learnt about the path.
func (st *Stack) end(c *Conn) {
	if c.flight == 0 || c.snd.una != c.snd.nxt || c.has(flagMore) || c.snd.nxt != c.snd.end && !c.finSent() {
		return
	}
	f := &st.flights[c.flight]
	st.controller(c).keep(&f.win, &c.mem)
	st.Release(c)
}
