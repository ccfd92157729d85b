package traffic

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
)

// runWeb keeps Flows HTTP(S) connections open and makes one request after another
// over each, Rate per second (default 10): what becomes of a session of VIP 1. Its
// metrics begin with "web". A connection that ends is a death, as a browser would
// show it; the next one is a new session.
func runWeb(ctx context.Context, a *agent) error {
	s := &stream{agent: a, name: "web", period: time.Duration(float64(time.Second) / a.rate(10))}
	s.play = s.browse
	return s.run(ctx)
}

// browse asks again and again who the server is, over one connection.
func (s *stream) browse(ctx context.Context, w *watcher) error {
	c, err := s.webConn(ctx, w.client)
	if err != nil {
		return err
	}
	defer bounded(ctx, c)()
	t := time.NewTicker(s.period)
	defer t.Stop()
	in := bufio.NewReader(c)
	for {
		id, n, err := whoOver(c, in, s.target.addr.String())
		if err != nil {
			return err
		}
		w.arrived(n, &control.Marker{Server: id}, 0)
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// webConn opens a connection, with TLS where the target speaks it.
func (s *stream) webConn(ctx context.Context, client string) (net.Conn, error) {
	c, err := dialer{client}.tcp(ctx, s.target.addr.String())
	if err != nil {
		return nil, err
	}
	return s.target.over(ctx, c)
}

// over is the connection that requests to the target go over: c, or TLS upon it.
// It closes c when TLS fails.
func (t target) over(ctx context.Context, c net.Conn) (net.Conn, error) {
	if !t.secure() {
		return c, nil
	}
	secured := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("TLS with %s: %w", t.addr, err)
	}
	return secured, nil
}

// whoOver makes one request over an open connection and returns the server's id
// and the size of the answer.
func whoOver(c net.Conn, in *bufio.Reader, host string) (server uint16, size int, err error) {
	if _, err = fmt.Fprintf(c, "GET /admin/identity HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		return 0, 0, err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	if err != nil {
		return 0, 0, err
	}
	var id identity
	if err := json.Unmarshal(body, &id); err != nil {
		return 0, 0, fmt.Errorf("read the identity: %w", err)
	}
	return id.ID, len(body), nil
}
