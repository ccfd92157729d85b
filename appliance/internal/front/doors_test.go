package front

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vosbed/vosbed/internal/devtls"
)

// TestNothingButTheWayToHTTPS: plain HTTP leads to the WebUI and never takes anything.
func TestNothingButTheWayToHTTPS(t *testing.T) {
	r := start(t)
	at := r.h.bound(plainAt())
	for _, tt := range []struct {
		method, path, host string
		status             int
		location           string
	}{
		{http.MethodGet, "/", "lb1.example:9080", http.StatusFound, "https://lb1.example:PORT/lbadmin/"},
		{http.MethodGet, "/lbadmin/login?next=x", "[2001:db8::1]:9080", http.StatusFound, "https://[2001:db8::1]:PORT/lbadmin/"},
		{http.MethodHead, "/", "192.0.2.1", http.StatusFound, "https://192.0.2.1:PORT/lbadmin/"},
		{http.MethodGet, "/", "a\"b", http.StatusBadRequest, ""},
		{http.MethodGet, "/", "lb1/evil", http.StatusBadRequest, ""},
		{http.MethodGet, "/", "user@evil", http.StatusBadRequest, ""},
		{http.MethodGet, "/", "", http.StatusFound, "https://127.0.0.2:PORT/lbadmin/"},
		{http.MethodPost, "/lbadmin/login", "lb1", http.StatusForbidden, ""},
		{http.MethodGet, "/api/v1/status", "lb1", http.StatusForbidden, ""},
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(conn, tt.method+" "+tt.path+" HTTP/1.1\r\nHost: "+tt.host+"\r\nContent-Length: 0\r\n\r\n")
		answer, readErr := io.ReadAll(conn)
		_ = conn.Close()
		if err = errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(r.h.bound(pagesAt()).String())
		want := strings.ReplaceAll(tt.location, "PORT", port)
		want = strings.ReplaceAll(want, ":"+port, ":0") // the doors are told as they were asked for
		head, _, _ := strings.Cut(string(answer), "\r\n")
		if !strings.Contains(head, http.StatusText(tt.status)) || !strings.Contains(string(answer), "Location: "+want) == (want != "") {
			t.Errorf("%s %s of %s: %q, want %d to %q", tt.method, tt.path, tt.host, answer, tt.status, want)
		}
		if strings.Contains(string(answer), "Set-Cookie") {
			t.Errorf("a cookie over plain HTTP: %q", answer)
		}
	}
}

// TestFallbackInBothLanguages: the same port answers HTTP and TLS.
func TestFallbackInBothLanguages(t *testing.T) {
	r := start(t)
	trust, err := devtls.ClientConfig(devtls.Pin(r.cert.Leaf))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: trust}}
	for _, scheme := range []string{"http", "https"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodDelete} {
			req, err := http.NewRequestWithContext(t.Context(), method, scheme+"://"+r.h.Inside().String()+"/any/path?q", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(scheme, method, err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "30" || !resp.Close {
				t.Errorf("%s %s: %v, %d %v", scheme, method, err, resp.StatusCode, resp.Header)
			}
			if want := map[bool]string{true: "", false: "<p>later</p>"}[method == http.MethodHead]; string(body) != want {
				t.Errorf("%s %s: page %q", scheme, method, body)
			}
			if policy := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "script") {
				t.Errorf("policy %q", policy)
			}
		}
	}
}

// TestNothingIsRefusedDuringAChange: another certificate is shown, and every call between
// finds somebody.
func TestNothingIsRefusedDuringAChange(t *testing.T) {
	r := start(t)
	first := r.look()
	other, err := devtls.Load(t.TempDir(), devtls.Names{Host: "other", Addrs: []netip.Addr{pagesAt().Addr()}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pins := []string{devtls.Pin(r.cert.Leaf), devtls.Pin(other.Leaf)}
	r.client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // either of two pins, below
		VerifyConnection: func(s tls.ConnectionState) error {
			if !slices.Contains(pins, devtls.Pin(s.PeerCertificates[0])) {
				return errors.New("a stranger's certificate")
			}
			return nil
		},
	}}
	ended := time.Now().Add(10 * time.Second)
	r.h.Show(Content{Cert: other, Strict: true})
	for n := 1; ; n++ {
		var s selfie
		if err = r.get("/", nil, &s); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if s.PID != first.PID && n > 20 {
			break
		}
		if time.Now().After(ended) {
			t.Fatal("the process was not changed")
		}
	}
	resp, err := r.client.Head(r.url) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if devtls.Pin(resp.TLS.PeerCertificates[0]) != pins[1] || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("shown: %v, %v", resp.TLS.PeerCertificates[0].Subject, resp.Header)
	}
	for i := 0; ; i++ {
		if err := syscall.Kill(first.PID, 0); err != nil {
			return
		}
		if time.Now().After(ended) {
			t.Fatal("the former process goes on")
		}
		_ = r.look()
	}
}

func TestATakenSocketChangesNothing(t *testing.T) {
	taken, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := netip.MustParseAddrPort(taken.Addr().String())
	h := New(Options{})
	t.Cleanup(func() {
		if failed := h.Close(); failed != nil {
			t.Error(failed)
		}
	})
	for name, s := range map[string]Sockets{
		"node.management:":      {HTTPS: []netip.AddrPort{pagesAt(), at}},
		"node.management_http:": {HTTP: []netip.AddrPort{at}},
		"node.fallback:":        {Fallback: []netip.AddrPort{at}},
	} {
		_, err = h.Prepare(t.Context(), s)
		if err == nil || !strings.HasPrefix(err.Error(), name) || !errors.Is(err, syscall.EADDRINUSE) || len(h.files) != 0 {
			t.Errorf("%s %v", name, err)
		}
	}
	change, err := h.Prepare(t.Context(), Sockets{HTTPS: []netip.AddrPort{pagesAt()}, Optional: []netip.AddrPort{at}})
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	if len(h.files) != 1 || !strings.Contains(h.Problem(), "fallback page is not at") {
		t.Errorf("%d listeners, %q", len(h.files), h.Problem())
	}
}

// TestSocketsMove: what is wanted no longer is closed, what stays is the same listener,
// also where something else is served there.
func TestSocketsMove(t *testing.T) {
	h := New(Options{})
	defer h.Close()
	set := func(s Sockets) {
		c, err := h.Prepare(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		c.Commit()
	}
	a, b := []netip.AddrPort{pagesAt()}, []netip.AddrPort{plainAt()}
	set(Sockets{HTTPS: a, HTTP: b})
	first, second := h.bound(pagesAt()), h.bound(plainAt())
	set(Sockets{HTTPS: b})
	if h.bound(pagesAt()).IsValid() || h.bound(plainAt()) != second || h.doors[0].Kind != kindHTTPS {
		t.Errorf("at %v and %v, doors %v", h.bound(pagesAt()), h.bound(plainAt()), h.doors)
	}
	if c, err := net.DialTimeout("tcp", first.String(), time.Second); err == nil { //nolint:noctx // a test
		_ = c.Close()
		t.Error("the former socket is still open")
	}
	c, err := h.Prepare(context.Background(), Sockets{HTTPS: a})
	if err != nil {
		t.Fatal(err)
	}
	if c.Abort(); h.bound(plainAt()) != second {
		t.Error("a change that was dropped had an effect")
	}
}

func FuzzHostOnly(f *testing.F) {
	for _, s := range []string{"lb1:9080", "[::1]:80", "a b", "", "x@y", "::1", "192.0.2.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		h := hostOnly(header)
		if strings.ContainsAny(h, "/@\\\r\n\t \"<>?#") {
			t.Errorf("%q became %q", header, h)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Host = header
		toHTTPS([]door{{kindHTTPS, netip.MustParseAddrPort("192.0.2.1:9443")}}).ServeHTTP(w, r)
		if to := w.Header().Get("Location"); !strings.HasPrefix(to, "https://") || !strings.HasSuffix(to, ":9443/lbadmin/") {
			t.Errorf("%q leads to %q", header, to)
		}
	})
}
