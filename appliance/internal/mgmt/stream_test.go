package mgmt

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/events"
	"github.com/vosbed/vosbed/appliance/internal/feed"
	"github.com/vosbed/vosbed/appliance/internal/logbook"
)

// reader is a client's end of a stream.
type reader struct {
	mu     sync.Mutex
	text   bytes.Buffer
	header http.Header
	status int
	stuck  chan struct{} // nil = it reads
	done   chan struct{}
}

func (r *reader) Header() http.Header { return r.header }
func (r *reader) WriteHeader(s int)   { r.status = s }
func (r *reader) Flush()              {}

func (r *reader) Write(b []byte) (int, error) {
	if r.stuck != nil {
		<-r.stuck
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

// got is what came, without the beginning.
func (r *reader) got() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.TrimPrefix(r.text.String(), "retry: 2000\n\n")
}

// open opens a stream and lets it run.
func (o *office) open(ctx context.Context, path, token string, headers ...string) *reader {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	to := &reader{header: http.Header{}, done: make(chan struct{})}
	go func() {
		defer close(to.done)
		o.s.throughWeb(o.s.handler).ServeHTTP(to, r)
	}()
	return to
}

// ended reports whether the stream is over.
func (r *reader) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// streaming runs a test in a bubble with a person and real streams. The server's clock
// stands still; tickers do not.
func streaming(t *testing.T, test func(t *testing.T, o *office, token string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &office{t, newServer(t, &fake{status: sample()}), nil}
		o.f, _ = o.s.opts.Backend.Operator.(*fake)
		o.s.streams = newStreams()
		token, _ := o.s.opts.People.Sessions.Start(accounts.Account{Name: "anna", Role: accounts.Auditor}, netip.Addr{}, "")
		test(t, o, token)
		o.s.streams.end()
		synctest.Wait()
	})
}

func TestEventsAreStreamed(t *testing.T) {
	t.Parallel()
	streaming(t, func(t *testing.T, o *office, token string) {
		t.Helper()
		for _, text := range []string{"one", "two"} {
			o.f.events.Add(events.Event{At: epoch, Kind: events.Problem, Text: text})
		}
		fresh, again := o.open(t.Context(), api.PathEvents, token), o.open(t.Context(), api.PathEvents, token, "Last-Event-ID", "1001")
		synctest.Wait()
		o.f.events.Add(events.Event{At: epoch, Kind: events.Server, Service: "V", Server: "A", Before: "serving", After: "down", Text: "line\nend"})
		<-time.After(gather)
		synctest.Wait()
		const two = `id: 1002` + "\n" + `data: {"id":1002,"at":"2026-03-01T12:00:00Z","kind":"problem","text":"two"}` + "\n\n"
		const three = `id: 1003` + "\n" + `data: {"id":1003,"at":"2026-03-01T12:00:00Z","kind":"server","service":"V","server":"A","before":"serving","after":"down","text":"line\nend"}` + "\n\n"
		if got := fresh.got(); got != three {
			t.Errorf("from now on: %q", got)
		}
		if diff := cmp.Diff(two+three, again.got()); diff != "" {
			t.Error(diff)
		}
		if kind := fresh.header.Get("Content-Type"); kind != api.ContentStream {
			t.Errorf("type %q", kind)
		}
		<-time.After(commentEvery)
		synctest.Wait()
		if got := fresh.got(); !strings.HasSuffix(got, "\n\n: \n\n") {
			t.Errorf("no comment: %q", got)
		}
	})
}

func TestMissedEventsAreTold(t *testing.T) {
	t.Parallel()
	streaming(t, func(t *testing.T, o *office, token string) {
		t.Helper()
		for range 6 { // four are kept
			o.f.events.Add(events.Event{At: epoch, Text: "x"})
		}
		for _, id := range []string{"1000", "5", "9999999"} {
			late := o.open(t.Context(), api.PathEvents+"?after="+id, token)
			synctest.Wait()
			first, rest, _ := strings.Cut(late.got(), "\n\n")
			var e api.Event
			if err := json.Unmarshal([]byte(strings.TrimPrefix(first, "data: ")), &e); err != nil || e.Kind != api.EventMissed || strings.Count(rest, "id: ") != 4 {
				t.Errorf("after %s: %v %q", id, err, late.got())
			}
		}
		if bad := o.open(t.Context(), api.PathEvents, token, "Last-Event-ID", "x"); true {
			synctest.Wait()
			if bad.status != http.StatusBadRequest {
				t.Errorf("an ID that is none: %d", bad.status)
			}
		}
	})
}

func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	streaming(t, func(t *testing.T, o *office, token string) {
		t.Helper()
		program, _, err := o.s.tokens.Create("p", accounts.Auditor, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		session, left := o.open(t.Context(), api.PathEvents, token), o.open(ctx, api.PathEvents, token)
		byToken, onConsole := o.open(t.Context(), api.PathLogStream, program), o.open(t.Context(), api.PathEvents, program)
		slow := o.open(t.Context(), api.PathEvents, program)
		synctest.Wait()
		slow.stuck = make(chan struct{})
		leave()
		synctest.Wait()
		if session.ended() || byToken.ended() || !left.ended() {
			t.Fatalf("who left ends, and nobody else: %t %t %t", session.ended(), byToken.ended(), left.ended())
		}
		o.f.events.Add(events.Event{Text: "x"})
		<-time.After(gather)
		synctest.Wait()
		for range 5 {
			o.f.events.Add(events.Event{Text: "x"})
		}
		close(slow.stuck)
		<-time.After(time.Second)
		synctest.Wait()
		if !slow.ended() {
			t.Error("a reader whom the ring has overtaken is not cut")
		}
		o.s.opts.People.Sessions.End(token)
		if err := o.s.tokens.Revoke("p"); err != nil {
			t.Fatal(err)
		}
		<-time.After(lookEvery)
		synctest.Wait()
		if !session.ended() || !byToken.ended() || !onConsole.ended() {
			t.Errorf("session %t, token %t %t", session.ended(), byToken.ended(), onConsole.ended())
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	streaming(t, func(t *testing.T, o *office, token string) {
		t.Helper()
		var all []*reader
		for range maxStreamsOfOne + 1 {
			all = append(all, o.open(t.Context(), api.PathEvents, token))
			synctest.Wait()
		}
		last := all[maxStreamsOfOne]
		if !last.ended() || last.status != http.StatusServiceUnavailable || last.header.Get("Retry-After") == "" {
			t.Errorf("one more: %t %d", last.ended(), last.status)
		}
	})
	s := newStreams()
	n := 0
	for i := range 2 * maxStreams {
		if s.enter(string(rune('a' + i))) {
			n++
		}
	}
	if n != maxStreams {
		t.Errorf("%d streams", n)
	}
}

func TestLogIsStreamed(t *testing.T) {
	t.Parallel()
	streaming(t, func(t *testing.T, o *office, token string) {
		t.Helper()
		all, some := o.open(t.Context(), api.PathLogStream+"?after=0", token), o.open(t.Context(), api.PathLogStream+"?level=warn&text=DISK", token)
		synctest.Wait()
		o.f.lines.Add(logbook.Line{At: epoch, Text: "disk is there"}, logbook.Line{At: epoch, Level: 8, Text: "disk is full"}, logbook.Line{At: epoch, Level: 8, Text: "no clock"})
		<-time.After(gather)
		synctest.Wait()
		events := strings.Count(all.got(), "data: ")
		if events != 2 || !strings.Contains(all.got(), "id: 1\n") || !strings.Contains(all.got(), "id: 4\ndata: [{") {
			t.Errorf("all: %q", all.got())
		}
		const want = "id: 4\ndata: [{\"id\":3,\"at\":\"2026-03-01T12:00:00Z\",\"level\":\"error\",\"text\":\"disk is full\"}]\n\n"
		if got := some.got(); got != want {
			t.Errorf("some: %q", got)
		}
	})
}

// TestFollow is the client against the server, over HTTPS through the web process.
func TestFollow(t *testing.T) {
	f := &fake{status: sample()}
	s := newServer(t, f)
	s.streams = newStreams()
	addr, pin := startTLS(t, s)
	text, _, err := s.tokens.Create("p", accounts.Auditor, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.NewHTTPS(addr, text, pin)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f.events.Add(events.Event{Kind: events.Problem, Text: "one"}, events.Event{Kind: events.Problem, Text: "two"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	err = c.FollowEvents(ctx, 1001, func(e api.Event) error {
		got = append(got, e.Text)
		if e.Text == "three" {
			cancel()
			return ctx.Err()
		}
		f.events.Add(events.Event{Text: "three"})
		return nil
	})
	if diff := cmp.Diff([]string{"two", "three"}, got); diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var lines []string
	err = followLine(ctx, cancel, c, f.lines, &lines)
	if len(lines) == 0 || lines[0] != "written now" {
		t.Errorf("%v: %q", err, lines)
	}
}

// followLine writes lines until one has come.
func followLine(ctx context.Context, cancel context.CancelFunc, c *api.Client, book *feed.Feed[logbook.Line], got *[]string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	go func() {
		for ctx.Err() == nil {
			book.Add(logbook.Line{At: epoch, Text: "written now"})
			<-tick.C
		}
	}()
	return c.FollowLogs(ctx, "info", "now", 0, func(lines []api.LogLine, _ uint64) error {
		*got = append(*got, lines[0].Text)
		cancel()
		return ctx.Err()
	})
}
