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
	"sync"

	"github.com/vosbed/vosbed/simvos/control"
)

// runWeb keeps Flows HTTP(S) connections open and makes Rate requests per second
// over each (default 10): what becomes of a session of VIP 1. Requests go out by
// plan, whether those before were answered or not, so that a client whose last
// request was received, but never answered, meets the reset too. Its metrics begin
// with "web". The end of a connection is a death, as a browser would show it.
func runWeb(ctx context.Context, a *agent) error {
	s := &stream{agent: a, name: "web", period: a.period(), paced: true}
	s.play = s.browse
	return s.run(ctx)
}

// browse asks again and again who the server is, over one connection.
func (s *stream) browse(ctx context.Context, w *watcher) error {
	c, err := s.webConn(ctx, w.client)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer bounded(ctx, c)()
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { w.sendRequests(stop, c) })
	in := bufio.NewReader(c)
	for {
		id, n, err := whoAnswers(in)
		if err != nil {
			return err
		}
		w.arrived(n, &control.Marker{Server: id}, 0)
	}
}

// sendRequests writes requests until the connection or ctx ends. Its reader must
// learn of a failure too.
func (w *watcher) sendRequests(ctx context.Context, c net.Conn) {
	ask := fmt.Appendf(nil, "GET /admin/identity HTTP/1.1\r\nHost: %s\r\n\r\n", w.s.target.addr)
	err := w.eachTurn(ctx, nil, func(int64) error {
		_, err := c.Write(ask)
		return err
	})
	if ctx.Err() == nil && err != nil {
		_ = c.Close()
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

// whoAnswers reads one answer and returns the server's id and the answer's size.
func whoAnswers(in *bufio.Reader) (server uint16, size int, err error) {
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
