package xload

import (
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The shares are SPECweb96's, to the requests that are really drawn.
func TestSPECweb96Shares(t *testing.T) {
	const dirs, n = 3, 400_000
	list := SPECweb96(dirs, false)
	if len(list) != dirs*36 {
		t.Fatalf("%d files", len(list))
	}
	var weights []float64
	for _, f := range list {
		weights = append(weights, f.Weight)
	}
	a, rnd := newAlias(weights), rand.NewPCG(1, 1)
	classes, inDir, mean := map[string]int{}, map[string]int{}, 0.0
	var in1 [10]int // of the second class, by size
	for range n {
		f := list[a.draw(rnd)]
		classes[f.Class]++
		inDir[filepath.Dir(f.Path)]++
		mean += float64(f.Length) / n
		if f.Class == "1-9 kB" {
			in1[f.Length/1024]++
		}
	}
	for class, want := range map[string]float64{"0.1-0.9 kB": 0.35, "1-9 kB": 0.5, "10-90 kB": 0.14, "100-900 kB": 0.01} {
		if got := float64(classes[class]) / n; math.Abs(got-want) > 0.004 {
			t.Errorf("%s: share %.4f, want %.2f", class, got, want)
		}
	}
	for dir, hits := range inDir {
		if math.Abs(float64(hits)/n-1.0/dirs) > 0.005 {
			t.Errorf("%s has %d of %d requests", dir, hits, n)
		}
	}
	if in1[4] < in1[1]*3 || in1[5] < in1[9]*3 { // the middle is popular
		t.Errorf("sizes of the second class: %v", in1)
	}
	if mean < 14_000 || mean > 16_500 {
		t.Errorf("the mean response has %.0f octets", mean)
	}
}

func TestSPECweb96Dirs(t *testing.T) {
	for load, want := range map[float64]int{0.001: 1, 5: 10, 20: 20, 500: 100, 2000: 200} {
		if got := SPECweb96Dirs(load); got != want {
			t.Errorf("for %g requests/s: %d directories, want %d", load, got, want)
		}
	}
}

// What is made is what is asked for.
func TestMakeSPECweb96(t *testing.T) {
	root := t.TempDir()
	octets, err := MakeSPECweb96(root, 2)
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, f := range SPECweb96(2, true) {
		body, err := os.ReadFile(filepath.Join(root, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(body)) != f.Length || crc32.Checksum(body, crcTable) != f.Sum {
			t.Errorf("%s is not as expected", f.Path)
		}
		sum += f.Length
	}
	if octets != sum {
		t.Errorf("%d octets written, want %d", octets, sum)
	}
	if octets, err := MakeSPECweb96(root, 2); err != nil || octets != 0 {
		t.Errorf("again: %d octets, %v", octets, err)
	}
}

func TestReadTargets(t *testing.T) {
	list, err := ReadTargets(strings.NewReader("# comment\n/a\n\n /b 2.5 # more\n/c 1 1024\n"))
	if err != nil || len(list) != 3 || list[0] != (Target{Path: "/a", Weight: 1, Length: -1}) || list[1].Weight != 2.5 || list[2].Length != 1024 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, bad := range []string{"", "/a x", "/a 0", "/a -1", "/a 1 x", "/a 1 -1", "/a 1 2 3", "/a NaN"} {
		if list, err := ReadTargets(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gives %+v", bad, list)
		}
	}
}

func TestRequest(t *testing.T) {
	text, err := request("example.org", "/x?y", []string{"A: b"}, true)
	if want := "GET /x?y HTTP/1.1\r\nA: b\r\nHost: example.org\r\nConnection: close\r\n\r\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	text, err = request("example.org", "/", []string{"host: other", "connection: keep-alive"}, true)
	if want := "GET / HTTP/1.1\r\nhost: other\r\nconnection: keep-alive\r\n\r\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	for _, bad := range [][2]string{{"x", ""}, {"/a b", ""}, {"/a\r\n", ""}, {"/", "no colon"}, {"/", "a: b\r\nc: d"}, {"/", "a b: c"}} {
		fields := []string{bad[1]}
		if bad[1] == "" {
			fields = nil
		}
		if text, err := request("h", bad[0], fields, false); err == nil {
			t.Errorf("%q: %q", bad, text)
		}
	}
}
