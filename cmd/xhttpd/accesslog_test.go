package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// logLines is how many lines a file has; -1 if it is not there.
func logLines(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	return strings.Count(string(text), "\n")
}

// SIGUSR1 and SIGHUP open the log anew, and never end the daemon, with a log or without.
func TestReopenOnSignal(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	p := start(t, "--backend", "builtin", "--access-log", log, "--access-log-format", "common")
	p.warm(p.server.IPv4, "/a.html")
	p.until("there is a line", func() bool { return logLines(log) > 0 })
	for k, signal := range []os.Signal{unix.SIGUSR1, unix.SIGHUP} {
		old := log + string(rune('1'+k))
		if err := os.Rename(log, old); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		p.until("the log was opened anew", func() bool { return logLines(log) == 0 })
		// Which it might have been without a signal, too, but not if nobody has renamed it.
		before := strings.Count(p.log.String(), "opened anew")
		if err := p.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		p.until("the signal was heard", func() bool { return strings.Count(p.log.String(), "opened anew") > before })
		p.dial(p.server.IPv4).want("/a.html", 200, "")
		p.until("the new file has a line", func() bool { return logLines(log) == 1 })
	}
	p.until("all lines are counted", func() bool {
		return p.metric("xhttpd_log_lines_total", "") == p.metric("xhttpd_responses_total", "200")
	})
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d after SIGTERM, want %d", code, exitOK)
	}

	q := start(t, "--backend", "builtin")
	for _, signal := range []os.Signal{unix.SIGUSR1, unix.SIGHUP, unix.SIGUSR1, unix.SIGTERM} {
		if err := q.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if code := q.end(); code != exitOK {
		t.Errorf("exit code %d after SIGUSR1, SIGHUP and SIGTERM, want %d", code, exitOK)
	}
	if !strings.Contains(q.log.String(), "--access-log") {
		t.Error("it is not said that there is no access log")
	}
}

// What is under way when the daemon ends has its line, too.
func TestLastLines(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	p := start(t, "--backend", "builtin", "--access-log", log, "--access-log-format", "%X %U", "--grace", "0s")
	p.write("large.html", strings.Repeat("x", 20_000_000))
	p.warm(p.server.IPv4, "/large.html")
	before := logLines(log)
	c := p.dial(p.server.IPv4)
	if _, err := c.Write([]byte("GET /large.html HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.r.ReadByte(); err != nil { // and no more
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.end()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) <= before || lines[len(lines)-1] != "X /large.html" {
		t.Errorf("%d lines before, %d in the end, the last %q", before, len(lines), lines[len(lines)-1])
	}
}
