// Package metrics serves a daemon's counters and its health over HTTP.
//
//	Family.Read ─▶ /metrics    in Prometheus's format
//	healthy ─────▶ /healthz    200, or 503 and the reason
//
// It knows no counter of its own: what the counters are is the caller's business, and each Family reads them when it
// is asked, so that the packet loops do nothing for it but count.
//
// It refuses to change anything: GET and HEAD are all that it answers. It asks nobody for a password, so the
// address that it listens on must be one that others do not reach; package config lets only loopback pass.
//
// Begin reading at Family (metrics.go).
package metrics
