package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/xhttpd/xhttpd/internal/config"
)

type purgeCmd struct {
	fromFile
	Admin config.Admin `default:"127.0.0.1:9180" help:"Where the daemon's admin server is."`
	All   bool         `help:"All objects."`
	URLs  []string     `arg:"" optional:"" name:"url" help:"Objects as clients ask for them: http://HOST/PATH, or /PATH of every host. With a '?', only what was asked for so."`
}

// Validate reports the first setting that cannot have been meant. Kong calls it.
func (c *purgeCmd) Validate() error {
	switch {
	case !c.Admin.On():
		return errors.New("--admin off: then nobody can be asked")
	case c.All == (len(c.URLs) > 0):
		return errors.New("give URLs, or --all")
	}
	for _, u := range c.URLs {
		if _, _, err := parsePurge(u); err != nil {
			return err
		}
	}
	return nil
}

// parsePurge returns what is meant by a URL: host is "" for any, without its port.
func parsePurge(text string) (host, target string, _ error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", "", err
	}
	if !strings.HasPrefix(u.EscapedPath(), "/") && u.Host == "" || u.Opaque != "" || u.Scheme != "" && u.Scheme != "http" || (u.Host == "") != (u.Scheme == "") {
		return "", "", fmt.Errorf("%q is not a URL that is served here: write it like http://www.example.org/a.png or /a.png", text)
	}
	host, target = strings.ToLower(u.Hostname()), u.RequestURI()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host, target, nil
}

const purgeTimeout = 10 * time.Second

// Run asks the running daemon.
func (c *purgeCmd) Run(ctx context.Context, std *streams) error {
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	form := url.Values{"url": c.URLs}
	if c.All {
		form = url.Values{"all": {"1"}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Admin.String()+"/purge", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := http.Client{Transport: &http.Transport{DialContext: new(net.Dialer).DialContext}} // no proxy
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no daemon answers (--admin says where it is): %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if resp.StatusCode != http.StatusOK || err != nil {
		return fmt.Errorf("what answers at %s is not an xhttpd that can be asked: %s: %.200s", c.Admin, resp.Status, text)
	}
	_, err = fmt.Fprintf(std.out, "%d objects have gone from the cache\n", n)
	return err
}

// purger is a cache. The methods return how many objects have gone.
type purger interface {
	Purge(host, target string) int
	PurgeAll() int
}

// maxPurge is how large a request for it may be, octets.
const maxPurge = 8 << 20

// purge answers POST /purge with the number of objects that have gone. What runs in a browser on this machine can't use it.
func purge(cache purger) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxPurge)
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n := 0
		if r.PostForm.Has("all") {
			n = cache.PurgeAll()
		}
		for _, u := range r.PostForm["url"] {
			host, target, err := parsePurge(u)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			n += cache.Purge(host, target)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, n)
	}))
}
