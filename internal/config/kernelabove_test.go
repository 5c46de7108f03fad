package config

import (
	"math"
	"testing"
)

func TestKernelAbove(t *testing.T) {
	const all = math.MaxUint64
	for _, c := range []struct {
		text     string
		how      Sending
		want     uint64
		why      string
		prints   string
		mustFail bool
	}{
		{text: "", how: Sending{}, want: uint64(aboveCopies), why: "each packet is copied", prints: "auto"},
		{text: "auto", how: Sending{Segments: true}, want: uint64(aboveSegments), why: "each packet is copied, and the card segments what the kernel sends", prints: "auto"},
		{text: "auto", how: Sending{Long: true}, want: all, why: "long segments, which the kernel cuts", prints: "auto"},
		{text: "auto", how: Sending{Long: true, Segments: true}, want: all, why: "long segments, which the card cuts", prints: "auto"},
		{text: "1MiB", how: Sending{Long: true, Segments: true}, want: 1 << 20, why: "as asked for", prints: "1MiB"},
		{text: "auto", how: Sending{ZeroCopy: true, Segments: true}, want: all, why: "zero copy", prints: "auto"},
		{text: "off", how: Sending{Segments: true}, want: all, why: "as asked for", prints: "off"},
		{text: "300kB", how: Sending{ZeroCopy: true}, want: 300_000, why: "as asked for", prints: "300000B"},
		{text: "64KiB", want: 65536, why: "as asked for", prints: "64KiB"},
		{text: "5GiB", want: 5 << 30, why: "as asked for", prints: "5GiB"},
		{text: "large", mustFail: true},
		{text: "-1", mustFail: true},
		{text: "0", mustFail: true},
	} {
		var k KernelAbove
		err := k.UnmarshalText([]byte(c.text))
		if c.mustFail {
			if err == nil {
				t.Errorf("%q is taken", c.text)
			}
			continue
		}
		octets, why := k.Above(c.how)
		if err != nil || octets != c.want || why != c.why || k.String() != c.prints {
			t.Errorf("%q: %d, %q, prints %q, %v; want %d, %q, %q", c.text, octets, why, k, err, c.want, c.why, c.prints)
		}
	}
}
