package clients

// How many answers xhttpd must give itself where it depends on what it has learnt: when it answers more, these are to be raised.
const (
	gitShare     = 5  // its first question has a query and takes a connection to Apache; for packs it opens others
	pageShare    = 95 // of 103 answers, or 100
	filmShare    = 20 // of 22 or more
	resumedShare = 90 // of 110 or more
)
