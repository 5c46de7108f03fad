package clients

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testbed.RemoveBinary()
	os.Exit(code)
}

// stage is a testbed whose clients are programs.
type stage struct {
	*testbed.Bed
	dir string // the clients' own
}

func newStage(t *testing.T, opts testbed.Options) *stage {
	t.Helper()
	return &stage{testbed.Start(t, opts), t.TempDir()}
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// patience bounds a client that hangs. Nothing depends on it but how soon the test fails.
const patience = 2 * time.Minute

// try runs a program in the client's namespace and the clients' directory, with further variables in its environment.
func (s *stage) try(env []string, name string, args ...string) (stdout, stderr string, err error) {
	s.Helper()
	cmd := s.Client.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "HOME="+s.dir, "no_proxy=*"), env...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	cmd.WaitDelay = time.Second
	timer := time.AfterFunc(patience, func() { cmd.Cancel() }) //nolint:errcheck // it has ended
	defer timer.Stop()
	s.Client.Do(func() { err = cmd.Run() })
	return out.String(), errors.String(), err
}

// run runs a program that must succeed.
func (s *stage) run(name string, args ...string) (stdout, stderr string) {
	s.Helper()
	stdout, stderr, err := s.try(nil, name, args...)
	if err != nil {
		s.Fatalf("%s: %v\n%s\n%s", exec.Command(name, args...), err, tail(stdout), tail(stderr))
	}
	return stdout, stderr
}

func tail(text string) string { return text[max(0, len(text)-3000):] }

// same fails the test unless a file of the clients' holds want.
func (s *stage) same(name string, want []byte) {
	s.Helper()
	got, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil || !bytes.Equal(got, want) {
		s.Errorf("%s: %d octets, want %d, or others: %v", name, len(got), len(want), err)
	}
}

// content returns n octets that look like nothing else.
func content(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16), 'c'})
	rnd.Read(b) //nolint:errcheck // never fails
	return b
}

// files makes n files called prefix0.ext and so on, of sizes from a few octets to size, and returns their contents by name.
func (s *stage) files(n int, prefix, ext string, size int) map[string][]byte {
	s.Helper()
	all := make(map[string][]byte, n)
	for k := range n {
		name := fmt.Sprintf("%s%d.%s", prefix, k, ext)
		all[name] = s.Put(name, content(1+k*size/n))
	}
	return all
}

func names(files map[string][]byte) (all []string) {
	for name := range files {
		all = append(all, name)
	}
	return all
}

// old is long before any file of the site.
var old = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// age makes a file of the site an hour old: the cache takes none that has just changed.
func (s *stage) age(name string) {
	s.Helper()
	then := time.Now().Add(-time.Hour).Add(-time.Duration(rand.IntN(1e9)))
	s.must(os.Chtimes(filepath.Join(s.Root, name), then, then))
}

// heads asks for files at once, each on a connection of its own, since a miss takes a connection to Apache. It returns how many of the
// answers were xhttpd's.
func (s *stage) heads(six bool, names []string, fields ...string) (ours int) {
	s.Helper()
	args := []string{"-q", "-sSgI", "-H", "Connection: close", "--parallel", "--parallel-max", "10"}
	for _, field := range fields {
		args = append(args, "-H", field)
	}
	for _, name := range names {
		args = append(args, s.URL(six, "/"+name), "-o", "/dev/null")
	}
	before, _ := s.settled()
	s.run("curl", args...)
	after, _ := s.settled()
	return int(after - before)
}

// warm asks for files, with the fields on which answers depend, until xhttpd answers for nearly all of them itself: on a busy machine,
// some connections pass to Apache.
func (s *stage) warm(six bool, names []string, fields ...string) {
	s.Helper()
	s.Until(fmt.Sprintf("xhttpd answers for %d files", len(names)), func() bool { return s.heads(six, names, fields...) >= (len(names)*19+19)/20 })
}

// warmTree asks for every file below a directory of the site's until no more of them become xhttpd's: some may never be.
func (s *stage) warmTree(dir string, fields ...string) {
	s.Helper()
	var names []string
	s.must(filepath.WalkDir(filepath.Join(s.Root, dir), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, strings.TrimPrefix(path, s.Root+"/"))
		}
		return err
	}))
	last := -1
	for begin := time.Now(); ; {
		// The cache takes no files that are younger than two seconds, and then it takes a while.
		ours := s.heads(false, names, fields...)
		if ours == last && time.Since(begin) > 3500*time.Millisecond {
			break
		}
		last = ours
	}
}

// answered runs f, whose requests xhttpd shall answer at least least times by itself: so handing everything over does not
// pass. It is less than all where a client asks for what is Apache's. On a busy machine the heartbeat may be late: then
// connections pass to Apache, as they should, and f has up to three chances. It returns how many requests it knows of in the last one:
// those and what was handed over.
func (s *stage) answered(least int, f func()) (asked int) {
	s.Helper()
	for chance := 1; ; chance++ {
		before, handovers := s.settled()
		f()
		after, handed := s.settled()
		s.Logf("%s: xhttpd answered %v times and handed %v over", s.Name(), after-before, handed-handovers)
		if after-before >= float64(least) {
			return int(after - before + handed - handovers)
		}
		if chance == 3 || s.Failed() {
			s.Errorf("xhttpd answered %v times, want %d or more", after-before, least)
			return 0
		}
	}
}

// settled returns counters once they no longer change: they are published behind the frames.
func (s *stage) settled() (responses, handovers float64) {
	s.Helper()
	for {
		responses, handovers = s.Metric("responses_total"), s.Metric("handovers_total")
		time.Sleep(100 * time.Millisecond)
		if responses == s.Metric("responses_total") && handovers == s.Metric("handovers_total") {
			return responses, handovers
		}
	}
}

// seed returns the test's seed: XHTTPD_SEED, or a random one.
func seed(t testing.TB) uint64 {
	t.Helper()
	s := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("XHTTPD_SEED"), 10, 64); err == nil {
		s = v
	}
	t.Logf("XHTTPD_SEED=%d", s)
	return s
}
