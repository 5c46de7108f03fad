package pieces

import (
	"context"
	"sync"
)

// Readers is how many jobs are under way at a time. As many disks, or network file systems, may hang before those that don't have to
// wait for them.
const Readers = 8

// Run reads what is asked for, until ctx ends. It does not wait for a read that hangs then: such a reader ends with the process.
func (p *Pool) Run(ctx context.Context) {
	jobs := make(chan Job)
	defer close(jobs)
	var one sync.Mutex
	for range Readers {
		go func() {
			for j := range jobs {
				a := p.Do(&j)
				one.Lock()
				p.Answer(a)
				one.Unlock()
			}
		}()
	}
	var j Job
	for {
		switch {
		case p.Next(&j):
			select {
			case jobs <- j:
			case <-ctx.Done():
				return
			}
			j = Job{}
		case !p.sleep(ctx):
			return
		}
	}
}

// sleep returns when there may be a job. It reports false if ctx ends.
func (p *Pool) sleep(ctx context.Context) bool {
	p.asleep.Store(true)
	if p.jobs.tail != p.jobs.written.Load() && p.asleep.CompareAndSwap(true, false) {
		return true // it came between the look and the going to sleep, and nobody was woken
	}
	select {
	case <-p.wake:
		return true
	case <-ctx.Done():
		return false
	}
}
