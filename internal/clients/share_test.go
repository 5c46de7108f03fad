package clients

// How many answers xhttpd must give itself where it depends on what it has learnt: when it answers more, these are to be raised.
const (
	gitShare     = 2  // git opens new connections for packs, and a miss takes one to Apache
	pageShare    = 60 // of 103 answers, or 100
	filmShare    = 0  // ranges
	resumedShare = 0  // ranges
)
