package clients

// How many answers xhttpd must give itself where it depends on what it has learnt: when it answers more, these are to be raised.
const (
	gitShare     = 0  // packs and loose objects have no media type
	pageShare    = 30 // of 100 pictures: the page itself is wanted compressed, which takes its connection to Apache, and some pictures with it
	filmShare    = 0  // ranges
	resumedShare = 0  // ranges
)
