package xload

import "fmt"

// judge says what has limited the load. A closed loop that is always busy is the limit only if the responses wait for it, not the
// requests for the server: then many come at once. An open loop may be as busy as it likes while it is not late.
func (r *Result) judge() {
	s, lost := &r.Self, float64(r.Ring.Dropped+r.Ring.Full)
	generator := ""
	switch {
	case r.Loop == "closed" && s.Busy >= saturated && s.Batch >= queued*float64(min(r.Connections*r.Pipeline, receiveBatch)):
		generator = fmt.Sprintf("its loop was busy for %.0f %% of the time", s.Busy*100)
	case s.Late > tooLate:
		generator = fmt.Sprintf("it began %.1f %% of the requests more than 1 ms late", s.Late*100)
	case lost > tooManyBad*float64(r.TCP.Received):
		generator = fmt.Sprintf("its ring had no room for %.0f frames", lost)
	case s.Stalled > tooStalled:
		generator = fmt.Sprintf("for %.0f %% of the time others had its processor", s.Stalled*100)
	case r.TCP.NoFrame > 0:
		generator = fmt.Sprintf("it had no frames for %d segments", r.TCP.NoFrame)
	}
	switch {
	case generator != "":
		r.Limit = Limit{ByGenerator, generator}
	case r.Loop == "closed":
		r.Limit = Limit{ByServer, fmt.Sprintf("the generator waited for %.0f %% of the time", (1-s.Busy)*100)}
	case r.Waited > 0 && float64(r.Waited) > tooLate*float64(r.Due):
		r.Limit = Limit{ByConnections, fmt.Sprintf("%d requests found all connections in use: the server is slow, or more connections are needed", r.Waited)}
	case r.behind(0.99):
		r.Limit = Limit{ByServer, "it did not keep up with the rate"}
	default:
		r.Limit = Limit{ByRate, "the server kept up with it"}
	}
}

// behind reports whether fewer than this share of the requests of an open loop were answered while they were measured; two may
// always have been under way at the end.
func (r *Result) behind(share float64) bool { return r.Rate*r.Seconds+2 < share*float64(r.Due) }
