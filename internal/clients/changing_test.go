package clients

import (
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// A thousand files are replaced, rewritten in place, deleted, forbidden, moved with their directory, reached by another symlink, and denied by
// .htaccess, while 16 clients ask for them: each answer is one whole version, which was right within the last second before the
// request. Afterwards all of them are as they are on the disk, and xhttpd's.
//
// XHTTPD_LONG is how long it goes on, as in 10m.
func TestChangingFiles(t *testing.T) {
	// A file that shrinks while Apache has it mapped would kill the child.
	s := newStage(t, testbed.Options{Config: "EnableMMAP off\n"})
	c := &changing{stage: s, numbers: map[int]int{}, lengths: map[int]int{}}
	number := seed(t)
	c.lay(number)
	stop := make(chan struct{})
	var changers, asking sync.WaitGroup
	before, _ := s.settled()
	for _, w := range c.writers {
		changers.Go(func() { w.run(stop) })
	}
	var sum tally
	for k := range 16 {
		asking.Go(func() { c.ask(rand.New(rand.NewPCG(number, uint64(1000+k))), stop, &sum) })
	}
	time.Sleep(long(t, 8*time.Second)) // not a wait for something: how long it goes on at least
	enough := time.Now().Add(time.Minute)
	for s.Metric("responses_total")-before < 300 && time.Now().Before(enough) {
		time.Sleep(100 * time.Millisecond)
	}
	close(stop)
	changers.Wait()
	asking.Wait()
	ours, _ := s.settled()
	for _, w := range c.writers {
		t.Logf("%s: %d changes", w.name, w.changes)
		if w.changes < 5 {
			t.Errorf("%s: only %d changes", w.name, w.changes)
		}
	}
	t.Logf("%d answers, %d of them files, %v by xhttpd; the latest was last right %v before it was asked for", sum.answers.Load(), sum.files.Load(), ours-before,
		time.Duration(sum.latest.Load()).Round(time.Millisecond))
	if ours-before < 300 {
		t.Errorf("xhttpd gave %v of %d files: this tested something else", ours-before, sum.files.Load())
	}
	c.settle()
}

// tally is counted by all clients.
type tally struct{ answers, files, latest, wrong atomic.Int64 }

// ask is one client. One file in ten is asked for as often as all others together.
func (c *changing) ask(rnd *rand.Rand, stop <-chan struct{}, sum *tally) {
	for sum.wrong.Load() < 10 {
		client := c.HTTP()
		for range 1 + rnd.IntN(4) { // on one connection
			select {
			case <-stop:
				client.CloseIdleConnections()
				return
			default:
			}
			k := rnd.IntN(len(c.pages))
			if rnd.IntN(2) == 0 {
				k -= k % 10
			}
			p := c.pages[k]
			a := answer{asked: time.Now()}
			resp, err := client.Get(c.URL(rnd.IntN(2) == 0, p.target))
			if a.err = err; err == nil {
				a.status = resp.StatusCode
				a.body, a.err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			a.done = time.Now()
			late, err := p.judge(&a)
			if err != nil {
				c.Error(err)
				sum.wrong.Add(1)
			}
			sum.answers.Add(1)
			if a.status == 200 {
				sum.files.Add(1)
			}
			for l := sum.latest.Load(); int64(late) > l && !sum.latest.CompareAndSwap(l, int64(late)); l = sum.latest.Load() {
			}
		}
		client.CloseIdleConnections()
	}
}

// settle waits until xhttpd answers for nearly all files by itself, and compares each with what was left there.
func (c *changing) settle() {
	c.Helper()
	client := c.HTTP()
	all := func() {
		for _, p := range c.pages {
			req, err := http.NewRequest("GET", c.URL(false, p.target), nil)
			c.must(err)
			req.Close = true // or a miss takes the others to Apache
			resp, err := client.Do(req)
			if err != nil {
				c.Errorf("afterwards, %s: %v", p.target, err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if v, whole := parse(body); err != nil || !whole || v != p.last().version {
				c.Errorf("afterwards, %s: %s, %v, whole %v, want %v: %v", p.target, resp.Status, v, whole, p.last().version, err)
			}
		}
	}
	time.Sleep(bound + slack) // what is answered from here on must be what is there
	c.Until("xhttpd answers for nearly all files", func() bool {
		before, _ := c.settled()
		all()
		after, _ := c.settled()
		return c.Failed() || after-before > float64(len(c.pages))*0.8
	})
}

// long returns XHTTPD_LONG, or d if it is not set.
func long(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	if text := os.Getenv("XHTTPD_LONG"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	return d
}
