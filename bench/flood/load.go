package flood

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Load is well-behaved clients: each asks for one of Pages after the other, each time on a new connection, and looks whether
// the answer is right.
type Load struct {
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Pages   map[string][]byte // by URL: the body that is to come; nil: any, of whatever status
	Clients int               // at once
	Timeout time.Duration     // of a request. Default 40 s: a kernel's retries of its SYN take longer, a person waits no longer
}

// Result is how Load fared.
type Result struct {
	Asked, Failed uint64
	Seconds       float64
	Median, Worst time.Duration // until the end of the answer
	FirstFailure  error
}

// Success is the share of requests that were answered rightly.
func (r *Result) Success() float64 {
	if r.Asked == 0 {
		return 0
	}
	return 1 - float64(r.Failed)/float64(r.Asked)
}

// Run asks until ctx ends; requests that are under way then are still waited for.
func (l *Load) Run(ctx context.Context) *Result {
	var urls []string
	for u := range l.Pages {
		urls = append(urls, u)
	}
	slices.Sort(urls)
	var (
		mu    sync.Mutex
		took  []time.Duration
		res   Result
		busy  sync.WaitGroup
		start = time.Now()
	)
	timeout := l.Timeout
	if timeout == 0 {
		timeout = 40 * time.Second
	}
	for k := range l.Clients {
		busy.Go(func() {
			client := &http.Client{Timeout: timeout, Transport: &http.Transport{DialContext: l.Dial, DisableKeepAlives: true, DisableCompression: true}}
			for n := k; ctx.Err() == nil; n++ {
				url, began := urls[n%len(urls)], time.Now()
				err := l.ask(client, url)
				mu.Lock()
				res.Asked++
				if err != nil {
					res.Failed++
					if res.FirstFailure == nil {
						res.FirstFailure = err
					}
				} else {
					took = append(took, time.Since(began))
				}
				mu.Unlock()
			}
		})
	}
	busy.Wait()
	res.Seconds = time.Since(start).Seconds()
	if len(took) > 0 {
		slices.Sort(took)
		res.Median, res.Worst = took[len(took)/2], took[len(took)-1]
	}
	return &res
}

func (l *Load) ask(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: after %d octets: %w", url, len(got), err)
	}
	if want := l.Pages[url]; want != nil && (resp.StatusCode != 200 || !bytes.Equal(got, want)) {
		return fmt.Errorf("%s: status %d, %d octets of %d, or others", url, resp.StatusCode, len(got), len(want))
	}
	return nil
}
