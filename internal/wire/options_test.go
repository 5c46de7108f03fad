package wire

import "testing"

// Options as peers and scanners send them. None of them stops the rest of the segment from being read.
func TestOddOptions(t *testing.T) {
	ts := []byte{8, 10, 0, 0, 0, 5, 0, 0, 0, 6}
	mss := []byte{2, 4, 5, 0xb4}
	withTS := Options{HasTS: true, TSVal: 5, TSEcr: 6}
	withMSS := Options{HasMSS: true, MSS: 1460}
	for _, c := range []struct {
		name string
		in   [][]byte
		want Options
	}{
		{"none", nil, Options{}},
		{"only NOPs", [][]byte{{1, 1, 1, 1}}, Options{}},
		{"the usual timestamps", [][]byte{{1, 1}, ts}, withTS},
		{"timestamps with NOPs behind", [][]byte{ts, {1, 1}}, withTS},
		{"timestamps between NOPs", [][]byte{{1}, ts, {1}}, withTS},
		{"twelve octets of something else", [][]byte{{1, 1, 8, 9, 0, 0, 0, 0, 0, 0, 0}, {1}}, Options{}},
		{"end of list hides the rest", [][]byte{mss, {0}, ts}, withMSS},
		{"zero length ends the list", [][]byte{mss, {8, 0}, ts}, withMSS},
		{"length of one ends the list", [][]byte{mss, {8, 1}, ts}, withMSS},
		{"overlong ends the list", [][]byte{mss, {8, 41}, ts}, withMSS},
		{"one octet too long", [][]byte{mss, {3, 4, 7}}, withMSS},
		{"kind without length", [][]byte{mss, {1, 1, 1, 2}}, withMSS},
		{"unknown kinds are skipped", [][]byte{{254, 4, 1, 2}, {30, 2}, mss, {69, 3, 0}}, withMSS},
		{"MSS of a wrong length", [][]byte{{2, 3, 5}, ts}, withTS},
		{"window scale of a wrong length", [][]byte{{3, 2}, {3, 4, 1, 1}, ts}, withTS},
		{"SACK-permitted of a wrong length", [][]byte{{4, 3, 0}, ts}, withTS},
		{"timestamps of a wrong length", [][]byte{{8, 9, 0, 0, 0, 1, 0, 0, 0}, mss}, withMSS},
		{"SACK of a wrong length", [][]byte{{5, 9, 0, 0, 0, 1, 0, 0, 0}, mss}, withMSS},
		{"SACK without blocks", [][]byte{{5, 2}, mss}, withMSS},
		{"twice: the last one counts", [][]byte{{2, 4, 0, 9}, mss}, withMSS},
		{"twice, the last one bad", [][]byte{mss, {2, 3, 9}}, withMSS},
		{"SACK twice: the last one counts", [][]byte{
			{5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4}, {5, 10, 0, 0, 0, 7, 0, 0, 0, 8},
		}, Options{NSACK: 1, SACK: [MaxSACK]Span{{7, 8}}}},
		{"window scale above the limit is told as it is", [][]byte{{3, 3, 255}}, Options{HasWScale: true, WScale: 255}},
		{"MSS of zero", [][]byte{{2, 4, 0, 0}}, Options{HasMSS: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b []byte
			for _, part := range c.in {
				b = append(b, part...)
			}
			if len(b) > 40 {
				t.Fatalf("%d octets", len(b))
			}
			o := Options{HasMSS: true, NSACK: 3, TSVal: 99} // left from another segment
			o.parse(b[:len(b):len(b)])
			clear(o.SACK[o.NSACK:])
			if o != c.want {
				t.Errorf("got %+v, want %+v", o, c.want)
			}
		})
	}
}
