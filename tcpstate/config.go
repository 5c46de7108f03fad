package tcpstate

// Config says how the connections of a listener behave. DefaultConfig returns one to begin with.
type Config struct {
	// MSS4 and MSS6 are what we advertise and the most that we send in one segment, options included:
	// the interface's MTU less 40 for IPv4, less 60 for IPv6.
	MSS4, MSS6 uint16
	// Window is how many octets beyond the request boundary we are ready to take; at most MaxWindow.
	Window uint32
	// WScale is the shift that we advertise when window scaling was offered, 0 to 14.
	WScale uint8
	// Timestamps, SACK and WindowScaling are offered back when offered to us. They must be off where the
	// kernel's sysctl is off, or it refuses to take connections over.
	Timestamps, SACK, WindowScaling bool
	// ECN is accepted when offered (RFC 3168), as the kernel does where net.ipv4.tcp_ecn is 1 or 2.
	ECN bool

	// The times below are held for each connection in steps of 100 ms, rounded up, at most 6553.5 s; 0
	// means never, except for LingerTimeout and TimeWait, where it means at once.

	// KeepAliveTimeout is how long a connection may be idle at a request boundary.
	KeepAliveTimeout Time
	// HeadTimeout is how long a request may stay incomplete, from its first octet, or from the end of the
	// response before it.
	HeadTimeout Time
	// StallTimeout is how long the peer may let pass without acknowledging anything new of what we have
	// for it, whether it is silent or advertises no window.
	StallTimeout Time
	// LingerTimeout is how long after our FIN was acknowledged the peer's is waited for.
	LingerTimeout Time
	// TimeWait is twice the maximum segment lifetime, as the kernel understands it.
	TimeWait Time
}

// MaxWindow is the largest receive window: what the kernel takes from a hand-over without complaint.
const MaxWindow = 64000

// DefaultConfig returns the values for an MTU of 1500, Apache's times for requests and Linux's for the rest.
func DefaultConfig() Config {
	return Config{
		MSS4: 1460, MSS6: 1440,
		Window:     MaxWindow,
		WScale:     7,
		Timestamps: true, SACK: true, WindowScaling: true, ECN: true,
		KeepAliveTimeout: 5 * Second,   // Apache: KeepAliveTimeout
		HeadTimeout:      20 * Second,  // Apache: RequestReadTimeout header=20
		StallTimeout:     300 * Second, // Apache: Timeout
		LingerTimeout:    30 * Second,  // Apache: MAX_SECS_TO_LINGER
		TimeWait:         60 * Second,  // Linux: TCP_TIMEWAIT_LEN
	}
}

// limits are the times of Config in steps of limitStep, as each connection holds them.
type limits struct{ keepAlive, head, stall, linger, timeWait uint16 }

const limitStep = 100 * Millisecond

func (cfg *Config) limits() limits {
	return limits{
		keepAlive: steps(cfg.KeepAliveTimeout), head: steps(cfg.HeadTimeout), stall: steps(cfg.StallTimeout),
		linger: steps(cfg.LingerTimeout), timeWait: steps(cfg.TimeWait),
	}
}

func steps(d Time) uint16 {
	return uint16(min(max(d+limitStep-1, 0)/limitStep, 0xffff))
}
