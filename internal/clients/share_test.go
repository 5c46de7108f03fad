package clients

// How many answers xhttpd must give itself where it depends on what it has learnt: when it answers more, these are to be raised.
const (
	gitShare     = 0 // packs and loose objects have no media type
	resumedShare = 0 // ranges
)
