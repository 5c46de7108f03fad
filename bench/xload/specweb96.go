package xload

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// The SPECweb96 mix (Standard Performance Evaluation Corporation, The Workload for the SPECweb96 Benchmark). Four classes of files,
// nine sizes in each, in every directory; requests are for the classes as below, for the sizes of a class by a Poisson distribution
// about its middle, and for all directories alike. The file set grows with the square root of the load: four times the load, twice
// the directories.
var specClasses = [4]struct {
	name  string
	share float64
	unit  float64 // octets; a file is 1 to 9 of them long
}{
	{"0.1-0.9 kB", 0.35, 102.4},
	{"1-9 kB", 0.50, 1024},
	{"10-90 kB", 0.14, 10240},
	{"100-900 kB", 0.01, 102400},
}

const specFiles = 9 // of a class, in a directory

// SPECweb96Dirs returns the directories for a load of so many requests in a second: 10·√(load/5).
func SPECweb96Dirs(load float64) int { return max(1, int(math.Round(10*math.Sqrt(load/5)))) }

// specSize returns the length of file n, from 1, of a class: 102 to 921, 1024 to 9216, and so on.
func specSize(class, n int) int { return int(specClasses[class].unit * float64(n)) }

func specPath(dir, class, n int) string { return fmt.Sprintf("dir%05d/class%d_%d.html", dir, class, n) }

// specWeight is the share of file n among its class: Poisson with the middle, the fifth of nine, as mean, cut off at both ends.
func specWeight(n int) float64 {
	const mean = (specFiles + 1) / 2
	poisson := func(k int) float64 { return math.Pow(mean, float64(k)) / math.Gamma(float64(k)+1) }
	sum := 0.0
	for k := range specFiles {
		sum += poisson(k + 1)
	}
	return poisson(n) / sum
}

// SPECweb96 returns the mix with so many directories. With sums, bodies must be those of MakeSPECweb96.
func SPECweb96(dirs int, sums bool) []Target {
	list := make([]Target, 0, dirs*len(specClasses)*specFiles)
	for dir := range dirs {
		for class, c := range specClasses {
			for n := 1; n <= specFiles; n++ {
				t := Target{
					Path: specPath(dir, class, n), Weight: c.share * specWeight(n) / float64(dirs), Length: int64(specSize(class, n)),
					Class: c.name, HasSum: sums,
				}
				if sums {
					t.Sum = crc32.Checksum(specBody(dir, class, n), crcTable)
				}
				list = append(list, t)
			}
		}
	}
	return list
}

// specBody returns the octets of a file: noise that its name decides.
func specBody(dir, class, n int) []byte {
	b := make([]byte, specSize(class, n))
	rnd := rand.NewChaCha8([32]byte{byte(dir), byte(dir >> 8), byte(dir >> 16), byte(class), byte(n)})
	rnd.Read(b) //nolint:errcheck // never fails (its documentation)
	return b
}

// MakeSPECweb96 makes the files of the mix below root, some 5 MB for each directory, and returns how many octets it wrote. Files
// that are there with the right length stay.
func MakeSPECweb96(root string, dirs int) (octets int64, err error) {
	for dir := range dirs {
		for class := range specClasses {
			for n := 1; n <= specFiles; n++ {
				name := filepath.Join(root, specPath(dir, class, n))
				if st, err := os.Stat(name); err == nil && st.Size() == int64(specSize(class, n)) {
					continue
				}
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // a server must read them
					return octets, err
				}
				if err := os.WriteFile(name, specBody(dir, class, n), 0o644); err != nil { //nolint:gosec // as above
					return octets, err
				}
				octets += int64(specSize(class, n))
			}
		}
	}
	return octets, nil
}
