package longbody_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/vosbed/vosbed/internal/longbody"
)

// TestPatience sends a body in pieces: a pause is borne if it is short, and the whole only
// for its time.
func TestPatience(t *testing.T) {
	t.Parallel()
	const pause = 60 * time.Millisecond
	for name, tt := range map[string]struct {
		each, all time.Duration
		whole     bool
	}{
		"patient":        {20 * pause, 100 * pause, true},
		"a pause":        {pause / 4, 100 * pause, false},
		"the whole body": {20 * pause, 3 * pause, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan error, 1)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, longbody.New(r.Body, http.NewResponseController(w), tt.each, tt.all))
				got <- err
			}))
			srv.Config.ReadTimeout = 2 * pause // of all others
			srv.Start()
			defer srv.Close()
			from, to := io.Pipe()
			go func() {
				for range 6 {
					if _, err := to.Write([]byte("x")); err != nil {
						return
					}
					<-time.After(pause)
				}
				_ = to.Close()
			}()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, from)
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := srv.Client().Do(req); err == nil {
				_ = resp.Body.Close()
			}
			_ = from.Close()
			if err := <-got; tt.whole != (err == nil) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("whole: %v", err)
			}
		})
	}
}

// TestWhoStopsIsHungUpOn: after a pause that was too long nobody waits for the rest of the
// body, which the whole time would allow.
func TestWhoStopsIsHungUpOn(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, longbody.New(r.Body, http.NewResponseController(w), 50*time.Millisecond, time.Minute))
	}))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); srv.Close() })
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
	if err = errors.Join(err, conn.SetReadDeadline(time.Now().Add(20*time.Second))); err != nil {
		t.Fatal(err)
	}
	if _, err = io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is held")
	}
}
