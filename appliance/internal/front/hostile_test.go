package front

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/internal/devtls"
)

// FuzzReceive: whatever comes through the pipe is a handover with a listener and a socket,
// or an error.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(`{"socket":"/s","doors":[{"kind":"https","addr":"127.0.0.1:9443"}],"page":"eA=="}` + "\n"))
	f.Add([]byte(`{"doors":null}`))
	f.Add([]byte(strings.Repeat("[", 4096)))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := receive(bytes.NewReader(data))
		if err == nil && (len(h.Doors) == 0 || h.Socket == "") {
			t.Fatalf("%q is taken for %+v", data, h)
		}
	})
}

// oneConn is a listener of one connection.
type oneConn struct{ conns chan net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// FuzzFallbackConn: what a client of a virtual service sends, over whatever protocol, gets
// the page, an error or nothing, and never anything of the WebUI.
func FuzzFallbackConn(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /lbadmin/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "\x16", "\x80\x2e\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /\r\nX", ""} {
		f.Add([]byte(s))
	}
	cert, err := devtls.Load(f.TempDir(), devtls.Names{Host: "lb1"}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	ln := &oneConn{make(chan net.Conn)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- serveFallback(ctx, ln, cert, fallback([]byte("<p>later</p>")), slog.New(slog.DiscardHandler))
	}()
	f.Cleanup(func() {
		cancel()
		close(ln.conns)
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, sent []byte) {
		here, there := net.Pipe()
		ln.conns <- there
		_ = here.SetDeadline(time.Now().Add(5 * time.Second))
		go func() {
			_, _ = here.Write(sent)
			_, _ = here.Write([]byte("\r\n\r\n")) // ends what waits for more of a header
			if len(sent) > 0 && sent[0] == tlsHandshake {
				_ = here.Close()
			}
		}()
		answer, err := http.ReadResponse(bufio.NewReader(here), nil)
		if err == nil {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusServiceUnavailable && answer.StatusCode/100 != 4 && answer.StatusCode/100 != 1 && answer.StatusCode != http.StatusHTTPVersionNotSupported && answer.StatusCode != http.StatusNotImplemented {
				t.Errorf("%q gets %d %s", sent, answer.StatusCode, body)
			}
		}
		_ = here.Close()
	})
}
