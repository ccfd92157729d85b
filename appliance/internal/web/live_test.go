package web

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// night is a daemon that has one session and counts.
type night struct {
	session, status atomic.Int32 // status codes of the answers, 0 = 200
	rendered        atomic.Int32
	background      atomic.Bool
	draft           *api.Draft // nil = none
}

func (n *night) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	say := func(code int32, with any) {
		if code == 0 {
			_ = json.NewEncoder(w).Encode(with)
			return
		}
		w.Header().Set("Content-Type", api.ContentProblem)
		w.WriteHeader(int(code))
		_ = json.NewEncoder(w).Encode(api.Problem{Status: int(code)})
	}
	n.background.Store(r.Header.Get(api.HeaderBackground) != "")
	switch r.URL.Path {
	case api.PathDraft:
		if n.draft != nil {
			say(0, n.draft)
		}
	case api.PathSession:
		say(n.session.Load(), api.Session{ID: "s1", User: "anna", Role: api.RoleOperator})
	case api.PathStatus:
		n.rendered.Add(1)
		say(n.status.Load(), api.Status{Node: "lb1", Services: []api.Service{{Name: "VIP"}}})
	}
}

// watch starts pages before that daemon; the time stands still.
func watch(t *testing.T) (*night, *Server) {
	t.Helper()
	n, at := &night{}, filepath.Join(t.TempDir(), "s")
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", at)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: n, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	client := api.NewUnix(at)
	t.Cleanup(func() { client.Close(); _ = srv.Close(); <-done })
	still := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	s, err := New(Options{API: client, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return still }})
	if err != nil {
		t.Fatal(err)
	}
	return n, s
}

func (s *Server) tab(t *testing.T, query string) *visit {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://lb1:9443/lbadmin/events?view=overview"+query, http.NoBody)
	return &visit{Server: s, r: r, api: s.opts.API.As("token", caller(r, true)), session: api.Session{ID: "s1", Role: api.RoleOperator}}
}

func TestTabsShareARendering(t *testing.T) {
	n, s := watch(t)
	var tabs sync.WaitGroup
	for range 10 {
		tabs.Go(func() {
			if event, last := s.tab(t, "&x=y").nextEvent(); last || !strings.Contains(string(event), "event: services\ndata: ") {
				t.Errorf("a tab is told %q", event)
			}
		})
	}
	tabs.Wait()
	if got := n.rendered.Load(); got != 1 {
		t.Errorf("ten tabs cost %d renderings", got)
	}
	s.tab(t, "&sort=ip").nextEvent()
	if got := n.rendered.Load(); got != 2 {
		t.Errorf("another view made it %d renderings, want 2", got)
	}
	if !n.background.Load() {
		t.Error("a live page keeps an idle session alive")
	}
}

func TestLiveEndsWithTheSessionOnly(t *testing.T) {
	n, s := watch(t)
	tab := s.tab(t, "")
	n.status.Store(http.StatusServiceUnavailable)
	if event, last := tab.nextEvent(); last || !strings.HasPrefix(string(event), "event: wait\n") {
		t.Errorf("while the daemon is busy: %q, %v", event, last)
	}
	n.status.Store(0)
	if event, last := tab.nextEvent(); last || !strings.HasPrefix(string(event), "event: roles\n") {
		t.Errorf("after that: %q, %v", event, last)
	}
	n.session.Store(http.StatusUnauthorized)
	if event, last := tab.nextEvent(); !last || !strings.HasPrefix(string(event), "event: bye\n") {
		t.Errorf("after the session: %q, %v", event, last)
	}
}

func TestLiveIsBounded(t *testing.T) {
	var l live
	for range maxTabsOfOne {
		if !l.enter("a") {
			t.Fatal("too early")
		}
	}
	if l.enter("a") {
		t.Error("one session has them all")
	}
	for i := range maxTabs - maxTabsOfOne {
		if !l.enter(string(rune('b' + i))) {
			t.Fatal("too early")
		}
	}
	if l.enter("z") {
		t.Error("there is no limit")
	}
	for i := range 2 * maxViews {
		l.view(string(rune(i)))
	}
	if len(l.views) > maxViews {
		t.Errorf("%d renderings are kept", len(l.views))
	}
	l.leave("a")
	if !l.enter("z") {
		t.Error("who leaves makes no room")
	}
}

func TestNobodyWaitsForOneWhoHangs(t *testing.T) {
	r := &rendering{turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.shared(ctx, time.Now(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestStream reads the first event as a browser does.
func TestStream(t *testing.T) {
	_, s := watch(t)
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+"/lbadmin/events?view=overview", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: cookieName, Value: "token"})
	res, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("%s %s", res.Status, kind)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	regions, name := map[string]string{}, ""
	for regions["at"] == "" && lines.Scan() {
		if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = event
		} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			regions[name] += data
		}
	}
	if !strings.Contains(regions["services"], "VIP") || !strings.Contains(regions["roles"], "Active") || regions["commit"] != "<!-- -->" {
		t.Errorf("the regions are %v", regions)
	}
}

func TestEveryPageIsLive(t *testing.T) {
	n, s := watch(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://lb1:9443/lbadmin/events?view=frame&at=%2Flbadmin%2Flogs%3Flevel%3Dwarn", http.NoBody)
	tab := &visit{Server: s, r: r, api: s.opts.API.As("token", caller(r, true)), session: api.Session{ID: "s1"}}
	n.draft = &api.Draft{Tag: "t1", Trial: &api.Trial{Author: "anna", Until: s.opts.Now().Add(42 * time.Second)}}
	event, last := tab.nextEvent()
	if got := string(event); last || strings.Contains(got, "event: services") ||
		!strings.Contains(got, "event: commit\ndata: ") || !strings.Contains(got, "42 seconds") {
		t.Errorf("the tab is told %q", got)
	}
}

func TestEventsAreWellFormed(t *testing.T) {
	var b bytes.Buffer
	writeEvent(&b, "roles", "\n<p>one</p>\r\n\n  <p>two</p>\n")
	writeEvent(&b, "commit", " \n ")
	const want = "event: roles\ndata: <p>one</p>\ndata:   <p>two</p>\n\nevent: commit\ndata: <!-- -->\n\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

// TestVendoredFiles holds the front-end libraries to what was published.
func TestVendoredFiles(t *testing.T) {
	sums, err := embedded.ReadFile("static/vendor/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	pinned := map[string]bool{"SHA256SUMS": true, "README.txt": true}
	for line := range strings.Lines(string(sums)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		data, missing := embedded.ReadFile("static/vendor/" + name)
		if got := sha256.Sum256(data); missing != nil || hex.EncodeToString(got[:]) != want {
			t.Errorf("%s is not what was published: %v", name, missing)
		}
		pinned[name] = true
	}
	all, err := embedded.ReadDir("static/vendor")
	if err != nil || len(all) != len(pinned) {
		t.Fatalf("%d files for %d sums: %v", len(all), len(pinned), err)
	}
	for _, f := range all {
		if !pinned[f.Name()] {
			t.Errorf("%s has no sum", f.Name())
		}
	}
}
