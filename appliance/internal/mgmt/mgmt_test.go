package mgmt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/tokens"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

func TestClientAgainstServer(t *testing.T) {
	f := &fake{status: sample()}
	c := startUnix(t, newServer(t, f))
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	ok(c.Healthz(ctx))
	st, err := c.Status(ctx)
	ok(err)
	whole := StatusOf(f.status)
	whole.Version = buildinfo.Get().Version
	if diff := cmp.Diff(whole, st, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	brief, err := c.Brief(ctx)
	ok(err)
	if had := st.Services[0].Servers[0].History; len(had) == 0 || len(brief.Services[0].Servers[0].History) != 0 {
		t.Errorf("a brief status has %d checks of %d", len(brief.Services[0].Servers[0].History), len(had))
	}
	ok(c.SetServer(ctx, "Harmonic_Traffic", "HT1", api.ServerState{State: "drain", Deadline: "5m"}))
	ok(c.SetServer(ctx, "Harmonic_Traffic", "HT 2/x", api.ServerState{State: "halt"}))
	ok(c.PairCommand(ctx, "takeover"))
	ok(c.Reload(ctx))
	entries, err := c.Persistence(ctx, api.Filter{Service: "Harmonic_Traffic", Client: "::ffff:10.0.0.1"})
	ok(err)
	want := []api.Entry{
		{Service: "a", Client: "10.0.0.1", Server: "y"},
		{Service: "b", Client: "10.0.0.2", Server: "x", IdleMS: 1500},
	}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Error(diff)
	}
	n, err := c.ClearPersistence(ctx, api.Filter{Server: "HT1"})
	ok(err)
	if n.Entries != 3 {
		t.Errorf("cleared %d, want 3", n.Entries)
	}
	yaml, revision, err := c.Config(ctx)
	ok(err)
	if string(yaml) != "node:\n" || revision != "r1" {
		t.Errorf("config %q revision %q", yaml, revision)
	}
	calls := []string{
		"set Harmonic_Traffic/HT1 drain 12:05:00", "set Harmonic_Traffic/HT 2/x halt 00:00:00",
		"pair takeover", "reload", "list {Harmonic_Traffic 10.0.0.1 }", "clear { invalid IP HT1}", "config",
	}
	if diff := cmp.Diff(calls, f.calls); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	f := &fake{status: sample()}
	c := startUnix(t, newServer(t, f))
	drain := func(service, server string, want api.ServerState) func(context.Context) error {
		return func(ctx context.Context) error { return c.SetServer(ctx, service, server, want) }
	}
	takeover := func(ctx context.Context) error { return c.PairCommand(ctx, "takeover") }
	tests := map[string]struct {
		backend error
		call    func(context.Context) error
		status  int
		detail  string
	}{
		"unknown service":  {nil, drain("x", "HT1", api.ServerState{State: "drain"}), 404, "there is Harmonic_Traffic"},
		"misspelt service": {nil, drain("Harmonic_Trafik", "HT1", api.ServerState{State: "drain"}), 404, "did you mean \"Harmonic_Traffic\"?"},
		"clears nothing": {nil, func(ctx context.Context) error {
			_, err := c.ClearPersistence(ctx, api.Filter{Server: "x"})
			return err
		}, 404, "there is no server \"x\": there is HT1, HT 2/x"},
		"lists nothing": {nil, func(ctx context.Context) error {
			_, err := c.Persistence(ctx, api.Filter{Service: "traffic"})
			return err
		}, 404, "there is no service \"traffic\""},
		"unknown server":   {nil, drain("Harmonic_Traffic", "x", api.ServerState{State: "drain"}), 404, "there is HT1, HT 2/x"},
		"unknown state":    {nil, drain("Harmonic_Traffic", "HT1", api.ServerState{State: "off"}), 422, "online, drain, halt"},
		"bad deadline":     {nil, drain("Harmonic_Traffic", "HT1", api.ServerState{State: "drain", Deadline: "5"}), 422, "90s"},
		"past deadline":    {nil, drain("Harmonic_Traffic", "HT1", api.ServerState{State: "drain", Deadline: "-5m"}), 422, "deadline"},
		"halt + deadline":  {nil, drain("Harmonic_Traffic", "HT1", api.ServerState{State: "halt", Deadline: "5m"}), 422, "belongs to drain"},
		"pair word":        {nil, func(ctx context.Context) error { return c.PairCommand(ctx, "x") }, 422, "takeover or release"},
		"refused":          {fmt.Errorf("not in sync: %w", ErrRefused), takeover, 409, "not in sync"},
		"own failure":      {errors.New("disk on fire"), takeover, 500, "disk on fire"},
		"broken file":      {&InvalidError{Detail: "2 mistakes", Errors: []string{"a:1:1: x", "a:2:1: y"}}, c.Reload, 422, "2 mistakes"},
		"not a client":     {nil, func(ctx context.Context) error { _, err := c.Persistence(ctx, api.Filter{Client: "x"}); return err }, 400, "not an IP"},
		"backend vanished": {fmt.Errorf("%w: gone", ErrNotFound), takeover, 404, "gone"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f.err = tt.backend
			var p *api.ProblemError
			if err := tt.call(t.Context()); !errors.As(err, &p) {
				t.Fatalf("got %v, want a problem", err)
			}
			if p.Problem.Status != tt.status || !strings.Contains(p.Problem.Detail, tt.detail) {
				t.Errorf("got %+v, want %d and %q", p.Problem, tt.status, tt.detail)
			}
			if invalid, ok := errors.AsType[*InvalidError](tt.backend); ok {
				if diff := cmp.Diff(invalid.Errors, p.Problem.Errors); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// TestEveryRoute asks every row of the table without a token, with a wrong one,
// and by a method that is not there.
func TestEveryRoute(t *testing.T) {
	s := newServer(t, &fake{status: sample()})
	h := s.throughWeb(s.handler)
	token, err := s.tokens.ReplaceFirst()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
		r.Header.Set(api.HeaderFrom, "127.0.0.1")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	expect := func(name string, resp *httptest.ResponseRecorder, status int) {
		t.Helper()
		if kind := resp.Header().Get("Content-Type"); resp.Code != status || kind != api.ContentProblem {
			t.Errorf("%s: got %d %s, want a problem with %d", name, resp.Code, kind, status)
		}
	}
	for _, r := range s.routes() {
		path := strings.NewReplacer("{service}", "s", "{server}", "r").Replace(r.path)
		switch {
		case r.path == api.PathHealthz:
			if resp := ask(r.method, path, ""); resp.Code != http.StatusOK {
				t.Errorf("healthz: %d", resp.Code)
			}
		case r.open:
			if r.path != api.PathSession || r.method != http.MethodPost {
				t.Errorf("%s %s is open to everybody", r.method, r.path)
			}
		default:
			expect("no token: "+path, ask(r.method, path, ""), http.StatusUnauthorized)
		}
		expect("wrong method: "+path, ask(http.MethodPatch, path, token), http.StatusMethodNotAllowed)
	}
	expect("unknown, no token", ask(http.MethodGet, "/x", ""), http.StatusNotFound)
	expect("unknown", ask(http.MethodGet, "/x", token), http.StatusNotFound)
	for range 20 {
		expect("wrong token", ask(http.MethodGet, api.PathStatus, token+"x"), http.StatusUnauthorized)
	}
}

func TestTLSToken(t *testing.T) {
	s := newServer(t, &fake{status: sample()})
	addr, pin := startTLS(t, s)
	first, err := os.ReadFile(s.opts.TokenFile + tokens.FirstMark)
	if err != nil {
		t.Fatal(err)
	}
	client := func(token, pin string) *api.Client {
		c, refused := api.NewHTTPS(addr, token, pin)
		if refused != nil {
			t.Fatal(refused)
		}
		t.Cleanup(c.Close)
		return c
	}
	owner := client(strings.TrimSpace(string(first)), pin)
	if _, err = owner.Status(t.Context()); err != nil {
		t.Error(err)
	}
	var p *api.ProblemError
	if _, err = owner.NewToken(t.Context()); !errors.As(err, &p) || p.Problem.Status != http.StatusForbidden {
		t.Errorf("new token over HTTPS: %v, want 403", err)
	}
	fresh, err := startUnix(t, s).NewToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if fresh.Pin != "sha256//pin" || len(fresh.Token) != 43 {
		t.Errorf("got %+v", fresh)
	}
	if _, err = owner.Status(t.Context()); !errors.As(err, &p) || p.Problem.Status != http.StatusUnauthorized {
		t.Errorf("old token: %v, want 401", err)
	}
	if _, err = client(fresh.Token, pin).Status(t.Context()); err != nil {
		t.Errorf("new token: %v", err)
	}
	if _, err = os.Stat(s.opts.TokenFile + tokens.FirstMark); !errors.Is(err, os.ErrNotExist) {
		t.Error("the first token was left on disk")
	}
	var u *api.UnreachableError
	if _, err = client(fresh.Token, "").Status(t.Context()); !errors.As(err, &u) {
		t.Errorf("self-signed certificate without a pin: %v, want it refused", err)
	}
	kept, err := os.ReadFile(s.opts.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(kept), fresh.Token) || !strings.HasPrefix(string(kept), "sha256:") {
		t.Error("the token file does not hold a hash alone")
	}
	again, err := tokens.Open(tokens.Options{FirstFile: s.opts.TokenFile, File: s.opts.TokenFile + "s.json", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.Find(fresh.Token); !ok {
		t.Error("the token did not survive a restart")
	}
}

func TestOldTLSRefused(t *testing.T) {
	addr, _ := startTLS(t, newServer(t, &fake{}))
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}}
	if conn, err := d.DialContext(t.Context(), "tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = ListenUnix(t.Context(), path, 0); err == nil {
		t.Error("took the socket of a living daemon")
	}
	if ul, ok := stale.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false)
	}
	_ = stale.Close()
	ln, err := ListenUnix(t.Context(), path, 0)
	if err != nil {
		t.Fatalf("a dead daemon's socket was not replaced: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	_ = ln.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket was left behind")
	}
}

func TestWhoMay(t *testing.T) {
	tests := map[string]struct {
		peer        peer
		self, group int
		want        bool
	}{
		"root":          {peer{0, 0}, 7, 0, true},
		"self":          {peer{7, 7}, 7, 0, true},
		"other":         {peer{8, 8}, 7, 0, false},
		"root's group":  {peer{8, 0}, 7, 0, false},
		"primary group": {peer{8, 9}, 7, 9, true},
		"other group":   {peer{1 << 30, 8}, 7, 9, false},
	}
	for name, tt := range tests {
		if got := tt.peer.may(tt.self, tt.group); got != tt.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestNoPeerNoAccess(t *testing.T) {
	s := newServer(t, &fake{})
	w := httptest.NewRecorder()
	s.vouched(s.handler).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, api.PathHealthz, http.NoBody))
	if w.Code != http.StatusForbidden {
		t.Errorf("got %d, want 403", w.Code)
	}
}

func TestBodyBounds(t *testing.T) {
	s := newServer(t, &fake{status: sample()})
	tests := map[string]struct {
		kind, body string
		status     int
		detail     string
	}{
		"not JSON":      {"text/plain", "x", 415, "JSON"},
		"too long":      {"application/json", `{"command":"` + strings.Repeat("x", maxBody), 413, "longer"},
		"unknown field": {"application/json", "{\"command\":\"release\",\n  \"fast\":true}", 400, `body:2:3: unknown field "fast"`},
		"wrong type":    {"application/json", `{"command":1}`, 400, "body:1:"},
		"two values":    {"application/json", `{"command":"release"}{}`, 400, "something after"},
		"nothing":       {"application/json", "", 400, "EOF"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.PathPair, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.kind)
			w := httptest.NewRecorder()
			guarded(onConsole(s.handler)).ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Body)
			if w.Code != tt.status || !strings.Contains(strings.ReplaceAll(string(body), `\"`, `"`), tt.detail) {
				t.Errorf("got %d %s, want %d %q", w.Code, body, tt.status, tt.detail)
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Error("security headers are missing")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"state":"drain","deadline":"5m"}`, `{"state":1}`, `{`, `{} {}`, "\n\n{\"x\":1}", `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want api.ServerState
		err := decodeJSON(data, &want)
		var bad *formatError
		if err != nil && (!errors.As(err, &bad) || !strings.HasPrefix(bad.detail, "body:")) {
			t.Fatalf("not located: %v", err)
		}
		if err != nil {
			return
		}
		over, err := override(want, epoch)
		if err == nil && !over.Deadline.IsZero() && (over.State != lb.Drain || !over.Deadline.After(epoch)) {
			t.Fatalf("accepted %+v as %+v", want, over)
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"", "service=a&client=10.0.0.1", "client=fe80::1%25eth0", "a=b", "service=", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		sel, err := parseFilter(query)
		if err != nil && sel != (Filter{}) {
			t.Fatalf("a refused query left %+v", sel)
		}
		if sel.Client.Zone() != "" || sel.Client.Is4In6() {
			t.Fatalf("client %v is not canonical", sel.Client)
		}
	})
}
