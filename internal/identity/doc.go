// Package identity holds the test that xhttpd cannot be told from Apache: the same octets are sent to Apache alone and
// to xhttpd in front of the same Apache, and what comes back must be the same, octet for octet, but for Date and what
// else is new each time; and so must the end of the connection be. It has no code of its own; the stage is package
// testbed.
//
// Begin reading at TestIdentity, then TestIdentityHot, in which the XDP program answers. The site is in site_test.go and sections_test.go, the
// cases are by theme in cases_*_test.go. What xhttpd is known to get wrong is in known_test.go, how much of the traffic it must answer itself
// in share_test.go.
package identity
