package dataplane

import (
	"sync"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// has reports how often f stands in the table.
func (o *Ours) has(f *wire.Flow) (n int) {
	h, bucket := o.entry(f)
	for _, e := range bucket {
		if e == h {
			n++
		}
	}
	return n
}

// held is how many places are taken.
func (o *Ours) held() (n int) {
	for _, e := range o.words {
		if e != 0 {
			n++
		}
	}
	return n
}

func oursFlow(k int) *wire.Flow {
	return &wire.Flow{LocalPort: 80, RemotePort: uint16(k), Remote: wire.Addr{15: byte(k >> 16)}}
}

func newOurs(t *testing.T, buckets int) *Ours {
	t.Helper()
	o, err := NewOurs(make([]uint64, buckets*OursWays), wire.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOurs(t *testing.T) {
	o := newOurs(t, 1)
	for k := range OursWays + 2 {
		o.add(oursFlow(k))
		if n := o.has(oursFlow(k)); (n == 1) != (k < OursWays) {
			t.Errorf("flow %d is %d times in a bucket of %d", k, n, OursWays)
		}
	}
	o.remove(oursFlow(OursWays)) // is not in it
	if n := o.held(); n != OursWays {
		t.Errorf("%d entries after one was removed that is not there", n)
	}
	o.remove(oursFlow(0))
	o.add(oursFlow(1)) // as a second loop would
	if n := o.has(oursFlow(1)); n != 2 {
		t.Errorf("two loops, %d entries", n)
	}
	o.remove(oursFlow(1))
	if n := o.held(); o.has(oursFlow(1)) != 0 || n != OursWays-2 {
		t.Errorf("%d entries after one loop has given the flow away", n)
	}
}

func TestOursSize(t *testing.T) {
	for _, n := range []int{0, 4, 8 + 4, 3 * 8} {
		if o, err := NewOurs(make([]uint64, n), wire.Key{}); err == nil {
			t.Errorf("%d words make a table: %+v", n, o)
		}
	}
	var none *Ours
	none.add(oursFlow(1))
	none.remove(oursFlow(1))
}

// Loops that share the table lose no entry of another's and leave none behind.
func TestOursShared(t *testing.T) {
	const loops, flows = 4, 1 // half a bucket: nobody finds it full
	o := newOurs(t, 1)
	each := func(do func(k int)) {
		var all sync.WaitGroup
		for loop := range loops {
			all.Go(func() {
				for k := range flows {
					do(loop*flows + k)
				}
			})
		}
		all.Wait()
	}
	each(func(k int) {
		for range 5000 {
			o.add(oursFlow(k))
			o.remove(oursFlow(k))
		}
		o.add(oursFlow(k))
	})
	for k := range loops * flows {
		if n := o.has(oursFlow(k)); n != 1 {
			t.Errorf("flow %d is %d times in the table", k, n)
		}
	}
	each(func(k int) { o.remove(oursFlow(k)) })
	if n := o.held(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}
