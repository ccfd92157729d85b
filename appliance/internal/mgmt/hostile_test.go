package mgmt

import (
	"bufio"
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
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/testenv"
)

// raw sends bytes to the socket and returns the answer; status 0 means that the server
// hung up without one.
func raw(t *testing.T, path, request string) (status int, header http.Header, body string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err = conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err = io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, nil, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func TestHostileRequests(t *testing.T) {
	f := &fake{status: sample()}
	path := filepath.Join(t.TempDir(), "s")
	ln, err := ListenUnix(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, f)
	start(t, func(ctx context.Context) error { return s.ServeUnix(ctx, ln) })
	const body = "Content-Type: application/json\r\nContent-Length: 16\r\n\r\n" + `{"state":"halt"}`
	put := func(target string) string {
		return "PUT /api/v1/services/" + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + body
	}
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"slash in the service":  {put("Harmonic_Traffic%2FHT1/servers/HT1/state"), 404},
		"dots":                  {put("../../v1/services/Harmonic_Traffic/servers/HT1/state"), 307},
		"escaped dots":          {put("%2e%2e/servers/HT1/state"), 404},
		"dots in the server":    {put("Harmonic_Traffic/servers/..%2f..%2fHT1/state"), 404},
		"empty names":           {put("/servers//state"), 307},
		"NUL":                   {put("Harmonic_Traffic/servers/HT1%00/state"), 404},
		"revision of a path":    {"GET /api/v1/history/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"report of a path":      {"GET /api/v1/reports/..%2fx HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"unicode twin":          {put("Harmonic_Traffic/servers/%D0%9DT1/state"), 404},
		"broken UTF-8":          {put("%ff%fe/servers/%ff/state"), 404},
		"broken escape":         {put("%zz/servers/HT1/state"), 400},
		"line end in a name":    {put("Harmonic_Traffic/servers/HT1%0d%0aX-Evil:%201/state"), 404},
		"line end in a header":  {"GET /api/v1/status HTTP/1.1\r\nHost: x\r\nA: b\rX-Evil: 1\r\n\r\n", 400},
		"two lengths":           {"POST /api/v1/pair HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		"length and chunks":     {"POST /api/v1/pair HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
		"long header":           {"GET /api/v1/status HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 2*maxHeader) + "\r\n\r\n", 431},
		"HTTP/2 without TLS":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		"no HTTP at all":        {"\x16\x03\x01\x00\r\n\r\n", 400},
		"unknown field":         {"POST /api/v1/pair HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n" + `{"now":1 }`, 400},
		"filter that is a slip": {"DELETE /api/v1/persistence?servise=x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, text := raw(t, path, tt.request)
			if status != tt.status {
				t.Errorf("got %d %s, want %d (0 = no answer)", status, text, tt.status)
			}
			if header.Get("X-Evil") != "" {
				t.Error("a header was injected")
			}
		})
	}
	if len(f.asked()) > 0 {
		t.Errorf("the backend was asked: %q", f.asked())
	}
}

// TestSlowHeaders: a client that sends its header drop by drop is hung up on.
func TestSlowHeaders(t *testing.T) {
	s := newServer(t, &fake{})
	srv := s.http(s.handler)
	if srv.ReadHeaderTimeout != headerTimeout || srv.ReadTimeout != readTimeout {
		t.Fatalf("timeouts %v, %v", srv.ReadHeaderTimeout, srv.ReadTimeout)
	}
	srv.ReadHeaderTimeout = 100 * time.Millisecond // the product's would be long to wait for
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(ctx context.Context) error { return s.serve(ctx, srv, ln) })
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err = conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	drops := make(chan struct{})
	go func() {
		defer close(drops)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for _, b := range "GET /api/v1/status HTTP/1.1\r\n" + strings.Repeat("A", 1000) {
			if _, err := io.WriteString(conn, string(b)); err != nil {
				return
			}
			<-tick.C
		}
	}()
	began := time.Now()
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server waits for ever")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it hung up after %v", took)
	}
	_ = conn.Close()
	<-drops
}

// TestHTTP2: a browser keeps one stream for each live page, and opens six connections at
// most with HTTP/1.
func TestHTTP2(t *testing.T) {
	addr, _ := startTLS(t, newServer(t, &fake{}))
	for want, offered := range map[string][]string{"h2": {"h2", "http/1.1"}, "http/1.1": {"http/1.1"}} {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: offered}} // the subject is ALPN
		conn, err := d.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("negotiated %q, want %s", got, want)
		}
		_ = conn.Close()
	}
}

// TestEveryRouteAtOnce is for the race detector.
func TestEveryRouteAtOnce(t *testing.T) {
	s := newServer(t, &fake{status: sample()})
	h := guarded(s.throughWeb(s.handler))
	token, err := s.tokens.ReplaceFirst()
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]string{api.PathServer: `{"state":"drain","deadline":"1m"}`, api.PathPair: `{"command":"release"}`}
	var wg sync.WaitGroup
	for i := range 8 {
		for _, route := range s.routes() {
			wg.Go(func() {
				for n := range 20 {
					path := strings.NewReplacer("{service}", "Harmonic_Traffic", "{server}", "HT1").Replace(route.path)
					r := httptest.NewRequestWithContext(t.Context(), route.method, path, strings.NewReader(bodies[route.path]))
					r.Header.Set(api.HeaderFrom, fmt.Sprintf("127.0.%d.1", i))
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Authorization", "Bearer "+token)
					if n == 10 {
						r.Header.Set("Authorization", "Bearer wrong")
					}
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					if w.Code >= http.StatusInternalServerError && (route.path != api.PathMetrics || w.Code != http.StatusServiceUnavailable) {
						t.Errorf("%s %s: %d %s", route.method, path, w.Code, w.Body)
					}
				}
			})
		}
	}
	wg.Wait()
}

// TestOtherUser connects as another user: refused by the file's mode, and by the
// server itself where somebody has opened the mode.
func TestOtherUser(t *testing.T) {
	testenv.RequireRoot(t)
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // it is closed to others
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	ln, err := ListenUnix(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{status: sample()}
	s := newServer(t, f)
	start(t, func(ctx context.Context) error { return s.ServeUnix(ctx, ln) })
	if _, err = askAs(65534, path); !errors.Is(err, unix.EACCES) {
		t.Errorf("connect: %v, want permission denied", err)
	}
	if err = os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	answer, err := askAs(65534, path)
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 403 ") {
		t.Errorf("answer %q, %v; want 403", answer, err)
	}
	answer, err = askAs(0, path)
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 204 ") {
		t.Errorf("root's answer %q, %v; want 204", answer, err)
	}
	if len(f.asked()) != 1 {
		t.Errorf("the backend was asked %q, want one reload", f.asked())
	}
}

// askAs sends one request as a user, on a thread that dies with that identity.
func askAs(uid int, path string) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked
		// The raw call changes this thread alone; unix.Setresuid would change all.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			done <- result{"", errno}
			return
		}
		text, err := ask(path)
		done <- result{text, err}
	}()
	r := <-done
	return r.text, r.err
}

func ask(path string) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err = unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return "", err
	}
	const request = "POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	if _, err = unix.Write(fd, []byte(request)); err != nil {
		return "", err
	}
	answer := make([]byte, 4096)
	n, err := unix.Read(fd, answer)
	return string(answer[:max(n, 0)]), err
}
