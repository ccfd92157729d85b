package front

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestStrangersDoNotStay: who announces a body and does not send it is hung up on as soon in
// a call that takes long to be answered as in any other.
func TestStrangersDoNotStay(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api/v1/update/online/install", "/api/v1/status"} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			at := hasty(t)
			conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, err = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: lb1\r\nContent-Length: 100\r\n\r\n{")
			if err = errors.Join(err, conn.SetReadDeadline(time.Now().Add(20*time.Second))); err != nil {
				t.Fatal(err)
			}
			if _, err = io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is held")
			}
		})
	}
}

// hasty is where calls go to a daemon that knows nobody, and bodies have little time.
func hasty(t *testing.T) (at string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	daemon := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	})}
	go func() { _ = daemon.Serve(ln) }()
	h, err := Handler(socket, pages, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ReadTimeout = 300 * time.Millisecond
	srv.StartTLS()
	t.Cleanup(func() { srv.Close(); _ = daemon.Close() })
	return srv.Listener.Addr().String()
}
