package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/bench/xload"
	"github.com/xhttpd/xhttpd/internal/nstest"
)

func command(args ...string) (code int, out, err string) {
	var o, e bytes.Buffer
	code = execute(args, &streams{&o, &e})
	return code, o.String(), e.String()
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"run"}, {"run", "http://192.0.2.1/", "--nonsense"}, {"run", "https://192.0.2.1/"}, {"run", "http://192.0.2.1/", "--ports", "9-3"},
		{"run", "http://192.0.2.1/", "--ports", "x"}, {"run", "http://192.0.2.1/", "-r", "10", "--think", "1s"}, {"run", "http://192.0.2.1/", "-d", "0s"},
		{"run", "http://192.0.2.1/", "-c", "0"}, {"run", "http://:80/"}, {"run", "http://192.0.2.1:99999/"}, {"search", "http://192.0.2.1/", "--quantile", "101"},
		{"run", "http://192.0.2.1/", "--list", "/nonexistent"}, {"fileset", "x", "--load", "0"}, {"run", "http://192.0.2.1/", "--list", "main.go", "--specweb96", "5"},
	} {
		if code, _, err := command(args...); code != exitUsage || !strings.HasPrefix(err, "xload: error: ") {
			t.Errorf("%q: %d, %s", args, code, err)
		}
	}
	for _, args := range [][]string{{}, {"--help"}, {"run", "--help"}} {
		if code, out, _ := command(args...); code != exitOK || !strings.Contains(out, "Usage: xload") {
			t.Errorf("%q: %d, %s", args, code, out)
		}
	}
}

func TestFileset(t *testing.T) {
	dir := t.TempDir()
	if code, out, err := command("fileset", dir, "--load", "0.05"); code != exitOK || !strings.Contains(out, "1 directories, 5.1 MB") {
		t.Errorf("%d, %s%s", code, out, err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "dir00000/class?_?.html")); len(files) != 36 {
		t.Errorf("%d files", len(files))
	}
}

// The whole: a server, the command, its reports and its exit codes.
func TestRun(t *testing.T) {
	client, server := nstest.Pair(t, nstest.Options{WireLike: true})
	root := t.TempDir()
	if _, err := xload.MakeSPECweb96(root, 1); err != nil {
		t.Fatal(err)
	}
	var listener net.Listener
	server.Do(func() {
		var err error
		if listener, err = net.Listen("tcp", ":80"); err != nil {
			t.Fatal(err)
		}
	})
	s := &http.Server{Handler: http.FileServer(http.Dir(root))}
	go s.Serve(listener) //nolint:errcheck // until it is closed
	defer s.Close()
	url, list := "http://"+server.IPv4.String(), filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("dir00000/class0_1.html 1 102\ndir00000/class1_1.html 1 1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	json1, png := filepath.Join(t.TempDir(), "r.json"), filepath.Join(t.TempDir(), "r.png")
	quick := []string{"-q", "--warmup", "50ms", "-d", "300ms", "-c", "8"}
	for _, c := range []struct {
		args []string
		want []int // exit codes; on a busy machine the generator may be the limit
		text string
	}{
		{[]string{"run", url, "--specweb96", "0.05", "--checksum", "--json", json1, "--png", png}, []int{exitOK, exitSelf}, "100-900 kB"},
		{[]string{"run", url, "-r", "200"}, []int{exitOK, exitSelf}, "200 requests/s offered"},
		{[]string{"run", url + "/nothing"}, []int{exitErrors}, "status"},
		{[]string{"run", url + "/nothing", "--status", "404"}, []int{exitOK, exitSelf}, "errors      0"},
		{[]string{"run", url, "--list", list}, []int{exitErrors}, "length"}, // it says 1000, there are 1024
		{[]string{"search", url, "--from", "50", "--most", "100", "--latency", "9s"}, []int{exitOK, exitSelf}, "p99 within 9.00s"},
	} {
		var code int
		var out, err string
		client.Do(func() { code, out, err = command(append(c.args, quick...)...) })
		good := false
		for _, w := range c.want {
			good = good || code == w
		}
		if !good || !strings.Contains(out, c.text) {
			t.Errorf("%q: exit code %d\n%s%s", c.args, code, out, err)
		}
	}
	var r xload.Result
	if text, err := os.ReadFile(json1); err != nil || json.Unmarshal(text, &r) != nil || r.Requests == 0 || len(r.Classes) != 4 {
		t.Errorf("JSON: %v, %+v", err, r)
	}
	if text, err := os.ReadFile(png); err != nil || !bytes.HasPrefix(text, []byte("\x89PNG")) {
		t.Errorf("PNG: %v", err)
	}
	var code int
	var err string
	client.Do(func() { code, _, err = command("run", "http://192.0.2.77/", "-q") })
	if code != exitErrors || !strings.Contains(err, "nobody on veth answers") {
		t.Errorf("no server: %d, %s", code, err)
	}
}
