package clients

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// browser is a Chromium without a screen, new, in the client's namespace, which leads nowhere else.
type browser struct {
	*stage
	ctx context.Context

	mu       sync.Mutex
	console  []string
	statuses map[string][]int64 // by path; of a cached answer that was confirmed, what was cached
	cached   int
}

func newBrowser(s *stage) *browser {
	s.Helper()
	binary := nstest.RequireTool(s.TB, "chromium-headless-shell", "chromium-headless-shell")
	nsenter := nstest.RequireTool(s.TB, "nsenter", "util-linux")
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(binary), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU,
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.Path, cmd.Args = nsenter, append([]string{"nsenter", "--net=" + s.Client.Path()}, cmd.Args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		}),
	}
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.Cleanup(cancel)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	s.Cleanup(cancelAllocator) // waits until it is gone
	ctx, cancel = chromedp.NewContext(ctx)
	s.Cleanup(cancel)
	b := &browser{stage: s, ctx: ctx, statuses: map[string][]int64{}}
	messages := chromedp.Console(ctx)
	s.must(chromedp.Listen(ctx, b.listen))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	s.must(err)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.console = append(b.console, m.String()+" "+m.URL)
			b.mu.Unlock()
		}
	}()
	return b
}

// listen notes how each answer came.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestServedFromCache: // that in memory
		b.cached++
	case *network.EventResponseReceived:
		if e.Response.FromDiskCache {
			b.cached++
		} else if at, err := url.Parse(e.Response.URL); err == nil {
			b.statuses[at.Path] = append(b.statuses[at.Path], e.Response.Status)
		}
	}
}

func (b *browser) visit(address string) {
	b.Helper()
	b.must(chromedp.Do(b.ctx, chromedp.Navigate(address)))
}

// evaluate returns the value of an expression, or of the promise that it is.
func evaluate[T any](b *browser, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// quiet fails the test if the console has said anything, warnings included.
func (b *browser) quiet() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.console {
		b.Errorf("the console: %s", line)
	}
}

// picture is a PNG that is width wide, of noise.
func picture(width int) []byte {
	img := image.NewGray(image.Rect(0, 0, width, 40))
	copy(img.Pix, content(len(img.Pix)))
	img.Set(0, 0, color.Gray{Y: uint8(width)})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // into memory
	}
	return b.Bytes()
}

// A page with 100 pictures, a style sheet and a script: all are whole. Loaded again, what the browser has comes from its
// cache; made to ask, it gets 304s.
func TestChromiumPage(t *testing.T) {
	s := newStage(t, testbed.Options{})
	const pictures = 100
	page := "<!DOCTYPE html><html><head><title>page</title><link rel=icon href=/0.png><link rel=stylesheet href=/style.css></head><body>"
	var all []string
	for k := range pictures {
		name := fmt.Sprintf("%d.png", k)
		s.Put(name, picture(k+1))
		all = append(all, name)
		page += "<img src=/" + name + ">"
	}
	s.Put("page.html", []byte(page+"<script src=/script.js></script></body></html>"))
	s.Put("style.css", []byte("/* "+strings.Repeat("x", 40_000)+" */ body { width: 4321px }"))
	s.Put("script.js", []byte("// "+strings.Repeat("x", 40_000)+"\nwindow.ran = 'all of it';"))
	const coding = "Accept-Encoding: gzip, deflate" // as the browser says
	s.warm(false, all)                              // as curl says; what does not vary is for the browser, too
	s.warm(false, []string{"page.html", "style.css", "script.js"}, coding)
	b := newBrowser(s)
	check := func() {
		t.Helper()
		if got := evaluate[[]int](b, "[...document.images].map(i => i.complete ? i.naturalWidth : -1)"); len(got) != pictures {
			t.Errorf("there are %d pictures, want %d", len(got), pictures)
		} else {
			for k, width := range got {
				if width != k+1 {
					t.Errorf("picture %d is %d wide, want %d", k, width, k+1)
				}
			}
		}
		if got := evaluate[string](b, "getComputedStyle(document.body).width + ' ' + window.ran"); got != "4321px all of it" {
			t.Errorf("style and script: %q", got)
		}
	}
	s.answered(pageShare, func() { b.visit(s.URL(false, "/page.html")) })
	check()
	// Decoders overlook some octets: all that the browser has in its cache is added up, as FNV-1a does.
	for k, got := range evaluate[[]uint32](b, `Promise.all([...document.images].map(async i => {
		const r = await fetch(i.src, {cache: "force-cache"});
		return new Uint8Array(await r.arrayBuffer()).reduce((sum, c) => Math.imul(sum ^ c, 16777619) >>> 0, 2166136261);
	}))`) {
		want := fnv.New32a()
		want.Write(picture(k + 1)) //nolint:errcheck // never fails
		if got != want.Sum32() {
			t.Errorf("picture %d has other octets than its file", k)
		}
	}
	s.must(chromedp.Do(b.ctx, chromedp.Reload()))
	check()
	b.mu.Lock()
	if b.cached < pictures*9/10 {
		t.Errorf("loaded again, %d answers came from the browser's cache", b.cached)
	}
	b.mu.Unlock()
	// It compares what it has with the server's, and gives what it has. Its 304s are not seen by scripts.
	before := s.Metric("responses_total", "304")
	s.answered(pageShare, func() {
		got := evaluate[[]int](b, `Promise.all([...document.images].map(async i => {
			const r = await fetch(i.src, {cache: "no-cache"});
			return r.ok ? (await createImageBitmap(await r.blob())).width : -r.status;
		}))`)
		for k, width := range got {
			if width != k+1 {
				t.Errorf("picture %d, asked for anew, is %d wide, want %d", k, width, k+1)
			}
		}
	})
	if n := s.Metric("responses_total", "304") - before; n < pageShare {
		t.Errorf("xhttpd gave %v answers of 304", n)
	}
	b.quiet()
}

// seek moves the film to a place and reads the number in its picture. The picture may come some time after the place.
const seek = `(async wanted => {
	const film = document.querySelector("video"), arrived = new Promise((done, failed) => {
		film.onseeked = done;
		film.onerror = () => failed(new Error(film.error.message));
	});
	film.currentTime = wanted + 0.5;
	await arrived;
	const canvas = new OffscreenCanvas(128, 32), pen = canvas.getContext("2d", {willReadFrequently: true});
	let number;
	for (let tries = 0; number !== wanted && tries < 500; tries++) {
		if (tries > 0) await new Promise(done => setTimeout(done, 20));
		pen.drawImage(film, 0, 0);
		number = 0;
		for (let bit = 0; bit < 8; bit++) number += (pen.getImageData(bit * 16 + 8, 16, 1, 1).data[0] > 127) << bit;
	}
	return number;
})(%d)`

// A film is looked at here and there, for which the browser asks for ranges, and then to its end.
func TestChromiumFilm(t *testing.T) {
	s := newStage(t, testbed.Options{})
	b := newBrowser(s)
	s.Put("clip.webm", b.clip())
	s.Put("film.html", []byte("<!DOCTYPE html><title>film</title><link rel=icon href=data:,><video muted preload=metadata src=/clip.webm></video>"))
	s.Warm("clip.webm")
	s.warm(false, []string{"film.html"}, "Accept-Encoding: gzip, deflate") // as the browser says
	rnd := rand.New(rand.NewPCG(seed(t), 0))
	asked := s.answered(filmShare, func() {
		b.visit(s.URL(false, "/film.html"))
		for _, second := range rnd.Perm(clipSeconds)[:20] {
			if got := evaluate[int](b, fmt.Sprintf(seek, second)); got != second {
				t.Errorf("at second %d it shows %d", second, got)
			}
		}
		evaluate[bool](b, fmt.Sprintf(seek, clipSeconds-4)+`.then(() => new Promise((done, failed) => {
			const film = document.querySelector("video");
			film.onended = () => done(true);
			film.onerror = () => failed(new Error(film.error.message));
			film.playbackRate = 4;
			film.play();
		}))`)
	})
	b.quiet()
	b.mu.Lock()
	defer b.mu.Unlock()
	if parts := b.statuses["/clip.webm"]; asked < 10 || !slices.Contains(parts, 206) {
		t.Errorf("the browser has asked %d times and got %v: this tested something else", asked, parts)
	}
}
