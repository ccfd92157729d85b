package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serve answers every request of the returned client with h.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Listener = ln
	srv.Start()
	t.Cleanup(srv.Close)
	c := NewUnix(ln.Addr().String())
	t.Cleanup(c.Close)
	return c
}

func TestErrorAnswers(t *testing.T) {
	tests := map[string]struct {
		kind, body string
		status     int
		want       string
	}{
		"problem":      {ContentProblem, `{"title":"Conflict","status":409,"detail":"no"}`, 409, "no"},
		"with list":    {ContentProblem, `{"detail":"2 mistakes","errors":["a","b"]}`, 422, "2 mistakes\na\nb"},
		"somebody":     {"text/html", "<html>", 502, "Bad Gateway (HTTP 502)"},
		"broken":       {ContentProblem, `{"title":`, 500, "Internal Server Error (HTTP 500)"},
		"lying status": {ContentProblem, `{"status":200,"detail":"x"}`, 404, "x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			p, ok := errors.AsType[*ProblemError](c.Reload(t.Context()))
			if !ok {
				t.Fatal("not a ProblemError")
			}
			if p.Problem.Status != tt.status || p.Error() != tt.want {
				t.Errorf("got %d %q, want %d %q", p.Problem.Status, p.Error(), tt.status, tt.want)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	err := NewUnix(filepath.Join(t.TempDir(), "none")).Healthz(t.Context())
	if _, ok := errors.AsType[*UnreachableError](err); !ok || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want an UnreachableError for a missing file", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = serve(t, func(http.ResponseWriter, *http.Request) {}).Healthz(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end to be visible", err)
	}
}

func TestConnectionIsKept(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"node":"lb1"}`+strings.Repeat(" ", 100_000))
	})
	var dials int
	tr, ok := c.http.Transport.(*http.Transport)
	if !ok {
		t.Fatal("not an http.Transport")
	}
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return dial(ctx, network, addr)
	}
	for range 20 {
		if s, err := c.Status(t.Context()); err != nil || s.Node != "lb1" {
			t.Fatal(s.Node, err)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections for 20 polls, want 1", dials)
	}
}

func TestEndlessAnswerIsRefused(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 1<<20)
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	if _, err := c.Metrics(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("got %v, want it refused", err)
	}
}

func TestPaths(t *testing.T) {
	got := []string{
		ServerPath("a b", "c/d"),
		Filter{}.path(),
		Filter{Service: "a&b", Client: "2001:db8::1"}.path(),
	}
	want := []string{
		"/api/v1/services/a%20b/servers/c%2Fd/state",
		"/api/v1/persistence",
		"/api/v1/persistence?client=2001%3Adb8%3A%3A1&service=a%26b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewHTTPSChecksItsInput(t *testing.T) {
	for _, addr := range []string{"lb1", "", "1.2.3.4"} {
		if _, err := NewHTTPS(addr, "t", ""); err == nil {
			t.Errorf("address %q accepted", addr)
		}
	}
	if _, err := NewHTTPS("lb1:9443", "t", "nonsense"); err == nil {
		t.Error("a malformed pin was accepted")
	}
}
