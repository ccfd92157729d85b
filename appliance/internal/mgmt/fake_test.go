package mgmt

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/events"
	"github.com/vosbed/vosbed/appliance/internal/feed"
	"github.com/vosbed/vosbed/appliance/internal/front"
	"github.com/vosbed/vosbed/appliance/internal/logbook"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/devtls"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fake is a whole backend that remembers what was asked of it.
type fake struct {
	mu     sync.Mutex
	calls  []string
	status lb.Status
	err    error
	events *feed.Feed[events.Event]
	lines  *feed.Feed[logbook.Line]
	out    outside
}

func (f *fake) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fake) Status() lb.Status { return f.status }

func (f *fake) SetServer(_ context.Context, id lb.RealID, want lb.Override) error {
	return f.note("set %s %s %s", id, want.State, want.Deadline.Format(time.TimeOnly))
}
func (f *fake) Pair(_ context.Context, command string) error { return f.note("pair %s", command) }
func (f *fake) Reload(context.Context) error                 { return f.note("reload") }
func (f *fake) Clear(_ context.Context, sel Filter) (int, error) {
	return 3, f.note("clear %v", sel)
}

func (f *fake) Persistence(_ context.Context, sel Filter) ([]lb.PersistenceEntry, error) {
	return []lb.PersistenceEntry{
		{Service: "b", Client: netip.MustParseAddr("10.0.0.2"), Server: "x", Idle: 1500 * time.Millisecond},
		{Service: "a", Client: netip.MustParseAddr("10.0.0.1"), Server: "y"},
	}, f.note("list %v", sel)
}

func (f *fake) System(context.Context) (api.System, error) {
	return api.System{Hostname: "lb1"}, f.note("system")
}

func (f *fake) SetClock(_ context.Context, text string) (api.ClockSet, error) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	return api.ClockSet{Before: at, Now: at.Add(time.Hour)}, f.note("set the clock to %s", text)
}

func (f *fake) Config(context.Context) (yaml []byte, revision string, err error) {
	return []byte("node:\n"), "r1", f.note("config")
}

func newServer(t *testing.T, f *fake) *Server {
	t.Helper()
	dir := t.TempDir()
	f.events, f.lines = feed.New[events.Event](4, 1001), feed.New[logbook.Line](4, 1)
	f.lines.Add(logbook.Line{At: epoch, Level: slog.LevelWarn, Text: "pair decision reason=x"})
	s, err := New(Options{
		Backend:   Backend{Status: f, Operator: f, Table: f, Config: f, Drafts: f, Past: f, Pairing: f, Graphs: f, Logs: f, Events: f.events, Rates: f, Support: f, System: f, Backups: kept{f}, Access: f, Authentication: &f.out, Updates: updates{f}, Online: online{f}},
		People:    openPeople(t, dir, &f.out),
		TokenFile: filepath.Join(dir, "token"),
		Pin:       func() string { return "sha256//pin" },
		Now:       func() time.Time { return epoch },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.streams.end() // streams tell what there is and end; liveServer has real ones
	return s
}

// start runs serve until the test ends and waits for it.
func start(t *testing.T, serve func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func startUnix(t *testing.T, s *Server) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := ListenUnix(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(ctx context.Context) error { return s.ServeUnix(ctx, ln) })
	c := api.NewUnix(path)
	t.Cleanup(c.Close)
	return c
}

func startTLS(t *testing.T, s *Server) (addr, pin string) {
	t.Helper()
	cert, err := devtls.Load(t.TempDir(), devtls.Names{Host: "lb1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := ListenPrivate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(ctx context.Context) error { return s.ServeWeb(ctx, inner, os.Getuid()) })
	h, err := front.Handler(inner.Addr().String(), func(string) (http.Handler, error) { return http.NotFoundHandler(), nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(ctx context.Context) error { return front.Serve(ctx, ln, cert, h, slog.New(slog.DiscardHandler)) })
	return ln.Addr().String(), devtls.Pin(cert.Leaf)
}
