package traffic

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
)

// question is one attempt at a service.
type question struct {
	dialer
	to   target
	path string
}

// asker makes one attempt and returns the id of the server that answered. An id
// of 0 without error means that the service answered but does not say who it is.
type asker func(ctx context.Context, q question) (uint16, error)

// askers is the table of services that clients can use.
func askers() map[string]asker {
	return map[string]asker{
		"udp":      askUDP,
		"tcp":      askTCP,
		"http":     askHTTP,
		"https":    askHTTP,
		"status":   askStatus,
		"statuses": askStatus,

		"fallback":  askFallback,
		"fallbacks": askFallback,

		"rtsp":   askRTSP,
		"rtmp":   askRTMP,
		"ts":     askTS,
		"ts-udp": askTSUDP,
		"bulk":   askBulk,
	}
}

// ask makes one attempt within the timeout.
func (a *agent) ask(ctx context.Context, s service, client string) (uint16, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout(2*time.Second))
	defer cancel()
	scheme := s.kind
	switch s.kind {
	case "status", "fallback":
		scheme = "http"
	case "statuses", "fallbacks":
		scheme = "https"
	}
	q := question{dialer{client}, a.target.with(scheme, s.port), a.Path}
	return askers()[s.kind](ctx, q)
}

// bounded closes the connection when ctx ends, so that reads and writes return.
func bounded(ctx context.Context, c net.Conn) (stop func()) {
	unhook := context.AfterFunc(ctx, func() { _ = c.Close() })
	return func() {
		unhook()
		_ = c.Close()
	}
}

// askUDP sends a probe up to three times, as a client that repeats a lost
// datagram.
func askUDP(ctx context.Context, q question) (uint16, error) {
	c, err := q.udp(ctx, q.to.addr.String())
	if err != nil {
		return 0, err
	}
	defer bounded(ctx, c)()
	deadline, _ := ctx.Deadline()
	for try := range 3 {
		left := time.Until(deadline) / time.Duration(3-try)
		if err = c.SetReadDeadline(time.Now().Add(left)); err != nil {
			return 0, err
		}
		var id uint16
		if id, err = exchange(c, uint64(try+1)); err == nil {
			return id, nil
		}
	}
	return 0, err
}

// askTCP opens a connection and exchanges one probe.
func askTCP(ctx context.Context, q question) (uint16, error) {
	c, err := q.tcp(ctx, q.to.addr.String())
	if err != nil {
		return 0, err
	}
	defer bounded(ctx, c)()
	return exchange(c, 1)
}

// exchange sends a probe frame and reads its reply.
func exchange(c net.Conn, seq uint64) (uint16, error) {
	req := control.ProbeRequest{Seq: seq, Sent: monotonic()}
	if _, err := c.Write(req.AppendTo(nil)); err != nil {
		return 0, err
	}
	buf := make([]byte, control.ProbeReplySize)
	if _, err := io.ReadFull(c, buf); err != nil {
		return 0, err
	}
	r, err := control.DecodeProbeReply(buf)
	return r.Marker.Server, err
}

// identity is the answer of /admin/identity.
type identity struct {
	ID uint16 `json:"id"`
}

// askHTTP asks a server over HTTP or HTTPS who it is.
func askHTTP(ctx context.Context, q question) (uint16, error) {
	var id identity
	body, err := getOnce(ctx, q, "/admin/identity")
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(body, &id); err != nil {
		return 0, fmt.Errorf("read the identity: %w", err)
	}
	return id.ID, nil
}

// askStatus fetches the status that health checks look at.
func askStatus(ctx context.Context, q question) (uint16, error) {
	body, err := getOnce(ctx, q, "/admin/status")
	if err != nil {
		return 0, err
	}
	if text := strings.TrimSpace(string(body)); text != "Healthy" {
		return 0, fmt.Errorf("status is %q", text)
	}
	return 0, nil
}

// askFallback wants the page of an appliance whose servers are all out (guide 9.5): 503,
// when to come again, and text for a person.
func askFallback(ctx context.Context, q question) (uint16, error) {
	client := newHTTPClient(q.dialer, true)
	defer client.CloseIdleConnections()
	resp, err := get(ctx, client, q.to.url("/"))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch h := resp.Header; {
	case err != nil:
		return 0, err
	case resp.StatusCode != http.StatusServiceUnavailable || h.Get("Retry-After") == "":
		return 0, fmt.Errorf("HTTP status %d, Retry-After %q: no fallback page", resp.StatusCode, h.Get("Retry-After"))
	case !strings.HasPrefix(h.Get("Content-Type"), "text/html") || len(body) == 0:
		return 0, fmt.Errorf("%d bytes of %q: no page", len(body), h.Get("Content-Type"))
	}
	return 0, nil
}

// maxAnswer bounds an answer that is read into memory.
const maxAnswer = 1 << 16

// getOnce makes one request on a connection of its own.
func getOnce(ctx context.Context, q question, path string) ([]byte, error) {
	client := newHTTPClient(q.dialer, true)
	defer client.CloseIdleConnections()
	if q.path != "" {
		path = q.path
	}
	resp, err := get(ctx, client, q.to.url(path))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	return body, err
}

// askRTSP asks for the description of the live programme; its session name ends
// with the server's id (RFC 2326 section 10.2).
func askRTSP(ctx context.Context, q question) (uint16, error) {
	c, err := q.tcp(ctx, q.to.addr.String())
	if err != nil {
		return 0, err
	}
	defer bounded(ctx, c)()
	path := "/live"
	if q.path != "" {
		path = q.path
	}
	_, err = fmt.Fprintf(c, "DESCRIBE rtsp://%s%s RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n", q.to.addr, path)
	if err != nil {
		return 0, err
	}
	return readDescription(bufio.NewReader(io.LimitReader(c, maxAnswer)))
}

func readDescription(in *bufio.Reader) (uint16, error) {
	for n := 0; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, fmt.Errorf("read the description: %w", err)
		}
		line = strings.TrimSpace(line)
		if n == 0 && !strings.HasPrefix(line, "RTSP/1.0 200") {
			return 0, fmt.Errorf("RTSP answer %q", line)
		}
		if name, ok := strings.CutPrefix(line, "s="); ok {
			return idAtEnd(name)
		}
	}
}

// idAtEnd reads the number at the end of "simvos HT1 115".
func idAtEnd(name string) (uint16, error) {
	i := strings.LastIndexByte(name, ' ')
	id, err := strconv.ParseUint(name[i+1:], 10, 16)
	if err != nil {
		return 0, fmt.Errorf("session name %q does not end with a server id", name)
	}
	return uint16(id), nil
}

// askBulk downloads a little from the throughput service.
func askBulk(ctx context.Context, q question) (uint16, error) {
	c, err := q.tcp(ctx, q.to.addr.String())
	if err != nil {
		return 0, err
	}
	defer bounded(ctx, c)()
	const n = 4096
	if _, err = c.Write(control.BulkRequest{Mode: control.Download, Bytes: n}.AppendTo(nil)); err != nil {
		return 0, err
	}
	_, err = io.CopyN(io.Discard, c, n)
	return 0, err
}

// askTS reads MPEG-TS over TCP until it knows the server.
func askTS(ctx context.Context, q question) (uint16, error) {
	return firstMarker(ctx, func(ctx context.Context, w *watcher) error { return playTS(ctx, w, q) })
}

// askTSUDP does the same over UDP.
func askTSUDP(ctx context.Context, q question) (uint16, error) {
	return firstMarker(ctx, func(ctx context.Context, w *watcher) error { return playTSUDP(ctx, w, q) })
}

// askRTMP plays over RTMP until it knows the server.
func askRTMP(ctx context.Context, q question) (uint16, error) {
	return firstMarker(ctx, func(ctx context.Context, w *watcher) error { return playRTMP(ctx, w, q) })
}

// firstMarker plays until a server has named itself.
func firstMarker(ctx context.Context, play func(context.Context, *watcher) error) (uint16, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &watcher{seen: cancel}
	err := play(ctx, w)
	if id := w.current(); id != 0 {
		return id, nil
	}
	if err == nil {
		err = errors.New("no frame with a server's identity")
	}
	return 0, err
}
