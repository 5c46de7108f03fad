package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// figure returns the number behind a name in a report, or -1.
func figure(report, name string) int {
	m := regexp.MustCompile(regexp.QuoteMeta(name) + `:?\s+(\d+)`).FindStringSubmatch(report)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return -1
	}
	return n
}

// ApacheBench compares the length of each body, and keeps the last one.
func TestApacheBench(t *testing.T) {
	nstest.RequireTool(t, "ab", "apache2-utils")
	s := newStage(t, testbed.Options{})
	files := map[string][]byte{"small.png": s.Put("small.png", content(700)), "large.png": s.Put("large.png", content(60_000))}
	for _, six := range []bool{false, true} {
		s.warm(six, names(files))
	}
	const requests = 2000
	for name, body := range files {
		for _, options := range [][]string{{"-k"}, {}, {"-k", "-i"}} {
			for _, six := range []bool{false, true} {
				s.answered(requests*9/10, func() {
					args := append([]string{"-q", "-n", fmt.Sprint(requests), "-c", "10"}, options...)
					report, _ := s.run("ab", append(args, s.URL(six, "/"+name))...)
					if figure(report, "Complete requests") != requests || figure(report, "Failed requests") != 0 || strings.Contains(report, "Non-2xx") ||
						figure(report, "Document Length") != len(body) && len(options) < 2 || !strings.Contains(report, "Server Software:        Apache") {
						t.Errorf("%s, %v:\n%s", name, options, report)
					}
					if kept := figure(report, "Keep-Alive requests"); len(options) > 0 && kept < requests*9/10 {
						t.Errorf("%s, %v: %d requests on kept connections", name, options, kept)
					}
				})
			}
		}
	}
}

// script lets wrk compare each body with the file itself.
const script = `local file = io.open("%s", "rb")
local want = file:read("*a")
file:close()
wrong, answers = 0, 0
function response(status, headers, body)
	answers = answers + 1
	if status ~= 200 or body ~= want or tonumber(headers["Content-Length"]) ~= #want then wrong = wrong + 1 end
end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency, requests)
	local all, bad = 0, 0
	for _, thread in ipairs(threads) do all, bad = all + thread:get("answers"), bad + thread:get("wrong") end
	io.write(string.format("compared %%d wrong %%d\n", all, bad))
end
`

func TestWrk(t *testing.T) {
	nstest.RequireTool(t, "wrk", "wrk")
	s := newStage(t, testbed.Options{})
	for name, size := range map[string]int{"small.png": 700, "large.png": 100_000} {
		s.Put(name, content(size))
		s.warm(name == "small.png", []string{name})
		lua := filepath.Join(s.dir, name+".lua")
		s.must(os.WriteFile(lua, fmt.Appendf(nil, script, filepath.Join(s.Root, name)), 0o600))
		s.answered(100, func() {
			report, _ := s.run("wrk", "-t", "2", "-c", "16", "-d", "2s", "-s", lua, s.URL(name == "small.png", "/"+name))
			compared := figure(report, "compared")
			if compared < 100 || figure(report, "wrong") != 0 || strings.Contains(report, "Socket errors") || strings.Contains(report, "Non-2xx") {
				t.Errorf("%s:\n%s", name, report)
			}
			t.Logf("%s: %d answers compared", name, compared)
		})
	}
}
