package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type fakeCache struct{ asked []string }

func (f *fakeCache) Purge(host, target string) int {
	f.asked = append(f.asked, fmt.Sprintf("%q %q", host, target))
	return 2
}

func (f *fakeCache) PurgeAll() int { f.asked = append(f.asked, "all"); return 7 }

func TestPurge(t *testing.T) {
	var cache fakeCache
	mux := http.NewServeMux()
	mux.Handle("POST /purge", purge(&cache))
	s := httptest.NewServer(mux)
	defer s.Close()
	for _, c := range []struct {
		args, says string
		asked      string
		code       int
	}{
		{"/a.png", "2 objects", `"" "/a.png"`, 0},
		{"http://WWW.test/a.png?x=%20 http://[2001:db8::1]:8080/", "4 objects", `"www.test" "/a.png?x=%20" "[2001:db8::1]" "/"`, 0},
		{"http://www.test", "2 objects", `"www.test" "/"`, 0},
		{"--all", "7 objects", "all", 0},
		{"//evil/a", "not a URL", "", 2},
	} {
		cache.asked = nil
		var out bytes.Buffer
		std := &streams{&out, &out}
		code := execute(t.Context(), append([]string{"purge", "--admin", strings.TrimPrefix(s.URL, "http://")}, strings.Fields(c.args)...), std)
		if code != c.code || !strings.Contains(out.String(), c.says) || strings.Join(cache.asked, " ") != c.asked {
			t.Errorf("%s: exit code %d, %s; the cache was asked for %s", c.args, code, &out, cache.asked)
		}
	}
	// A page in a browser on this machine may not.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/purge", strings.NewReader("all=1"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://evil.test")
	cache.asked = nil
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || cache.asked != nil {
		t.Errorf("status %d, the cache was asked for %s", resp.StatusCode, cache.asked)
	}
	// Something else that listens there is not taken for the daemon.
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	var out bytes.Buffer
	if code := execute(t.Context(), []string{"purge", "--admin", strings.TrimPrefix(other.URL, "http://"), "--all"}, &streams{&out, &out}); code != exitFail {
		t.Errorf("exit code %d: %s", code, &out)
	}
}
