package cores

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pinned is what a goroutine saw on its thread.
type pinned struct {
	thread                int
	before, within, after unix.CPUSet
}

// see pins the calling goroutine until others have been pinned, too.
func see(others *sync.WaitGroup) (p pinned, err error) {
	err = unix.SchedGetaffinity(0, &p.before)
	unpin := func() {}
	if err == nil {
		unpin, err = Pin(Client)
	}
	others.Done()
	if err != nil {
		return p, err
	}
	others.Wait()
	p.thread = unix.Gettid()
	err = unix.SchedGetaffinity(0, &p.within)
	unpin()
	if err == nil {
		err = unix.SchedGetaffinity(p.thread, &p.after)
	}
	return p, err
}

// Behind unpin a thread may run where it might before, and it lives on: the processes that it has started would end with it.
func TestPin(t *testing.T) {
	const n = 3 // at once, so on as many threads; the process's first one never ends
	var all [n]pinned
	var others, ended sync.WaitGroup
	others.Add(n)
	for k := range all {
		ended.Go(func() {
			var err error
			if all[k], err = see(&others); err != nil {
				t.Error(err)
			}
		})
	}
	ended.Wait()
	time.Sleep(100 * time.Millisecond) // a thread that ends has done so by then
	for _, p := range all {
		if p.within.Count() != 1 || !p.within.IsSet(Client) {
			t.Errorf("pinned to core %d, a thread may run on %v", Client, p.within)
		}
		if p.after != p.before {
			t.Errorf("a thread could run on %v before, and on %v after", p.before, p.after)
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", p.thread)); err != nil {
			t.Errorf("the thread has ended with its goroutine: %v", err)
		}
	}
}
