package rtsp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/simvos/internal/ledger"
)

// livePath is where the live programme is; anything below it is the same.
const livePath = "/live"

// conn is one control connection and the session on it, if any.
type conn struct {
	server *Server
	tcp    *net.TCPConn
	r      *bufio.Reader
	// local is the address that the client used, remote the client's own.
	local, remote netip.Addr
	// seen is when the client was last heard, in nanoseconds of Unix time.
	seen atomic.Int64

	writing sync.Mutex

	// The rest is used by the goroutine of run only.
	published []string // tracks that ANNOUNCE described
	session   *session
}

// run answers requests until the client leaves or falls silent.
func (c *conn) run(ctx context.Context, e ledger.Entry) {
	defer func() { c.end() }()
	c.touch()
	for c.await() {
		req, f, err := readMessage(c.r)
		if errors.Is(err, errMalformed) {
			_ = c.write(reply(statusBadRequest, "Server", c.name()).appendTo(nil))
		}
		if err != nil {
			return
		}
		c.touch()
		if f != nil {
			c.interleaved(f)
			continue
		}
		e.Received(1, len(req.body))
		resp, then := c.handle(ctx, req)
		if c.write(c.finish(req, resp)) != nil {
			return
		}
		e.Sent(1, len(resp.body))
		if then != nil {
			then()
		}
	}
}

// await waits for the first byte of the next message; false when the client is
// gone or silent for too long. A message that has begun must end soon.
func (c *conn) await() bool {
	for {
		_ = c.tcp.SetReadDeadline(time.Now().Add(idleCheck))
		_, err := c.r.Peek(1)
		if err == nil {
			return c.tcp.SetReadDeadline(time.Now().Add(messageTimeout)) == nil
		}
		silent := time.Since(time.Unix(0, c.seen.Load())) > sessionTimeout
		if silent || !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
	}
}

func (c *conn) touch() { c.seen.Store(time.Now().UnixNano()) }

// write sends b; control answers and interleaved media share the connection. An
// error ends it: part of b may have left, and the client would take what comes next
// for the rest of that frame.
func (c *conn) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.tcp.SetWriteDeadline(time.Now().Add(c.server.writeTimeout))
	if err == nil {
		_, err = c.tcp.Write(b)
	}
	if err != nil {
		c.tcp.Close()
	}
	return err
}

func (c *conn) name() string { return "simvos/1.0 (" + c.server.o.Identity.Name + ")" }

// finish adds the fields that every answer has.
func (c *conn) finish(req *request, resp response) []byte {
	resp.header["CSeq"] = req.header["cseq"]
	resp.header["Server"] = c.name()
	return resp.appendTo(nil)
}

// end closes the session.
func (c *conn) end() {
	if c.session != nil {
		c.session.close()
		c.session = nil
	}
}

// interleaved hands a frame from the client to its session.
func (c *conn) interleaved(f *frame) {
	if c.session != nil {
		c.session.interleaved(f)
	}
}

// handle answers one request. then, when not nil, is to be called once the
// answer is sent.
func (c *conn) handle(ctx context.Context, req *request) (resp response, then func()) {
	if req.header["cseq"] == "" {
		return reply(statusBadRequest), nil
	}
	switch req.method {
	case mOptions:
		return reply(statusOK, "Public", public), nil
	case mDescribe:
		return c.describe(req), nil
	case mAnnounce:
		return c.announce(req), nil
	case mSetup:
		return c.setup(ctx, req), nil
	case mGetParameter, mSetParameter:
		return c.parameter(req), nil
	case mPlay, mPause, mRecord, mTeardown:
		if c.session == nil || req.session() != c.session.id {
			return reply(statusNoSession), nil
		}
		return c.control(ctx, req)
	default:
		return reply(statusNotSupported, "Public", public), nil
	}
}

// control handles the methods that change a session's state.
func (c *conn) control(ctx context.Context, req *request) (response, func()) {
	switch req.method {
	case mPlay:
		return c.session.play(ctx)
	case mRecord:
		return c.session.record(ctx), nil
	case mPause:
		return c.session.pause(), nil
	default:
		id := c.session.id
		c.end()
		c.published = nil
		return reply(statusOK, "Session", id), nil
	}
}

func (c *conn) describe(req *request) response {
	if !isLive(req.url) {
		return reply(statusNotFound)
	}
	body, err := describe(c.server.o.Identity, c.local)
	if err != nil {
		c.server.o.Logger.Warn("cannot describe the live programme", "err", err)
		return reply(statusUnavailable)
	}
	base := strings.TrimRight(req.url.String(), "/") + "/"
	resp := reply(statusOK, "Content-Type", "application/sdp", "Content-Base", base)
	resp.body = body
	return resp
}

// isLive reports whether the URL names the live programme or its track.
func isLive(u *url.URL) bool {
	rest, ok := strings.CutPrefix(u.Path, livePath)
	return ok && (rest == "" || rest[0] == '/')
}

func (c *conn) announce(req *request) response {
	if c.session != nil {
		return reply(statusWrongState)
	}
	tracks, err := announced(req.body, req.url)
	if err != nil {
		return reply(statusBadRequest)
	}
	c.published = tracks
	return reply(statusOK)
}

// parameter answers keep-alives; the server has no parameters to get or set.
func (c *conn) parameter(req *request) response {
	id := req.session()
	if id == "" {
		return reply(statusOK)
	}
	if c.session == nil || c.session.id != id {
		return reply(statusNoSession)
	}
	return reply(statusOK, "Session", id)
}

// setup adds one track to the session, or to a new one.
func (c *conn) setup(ctx context.Context, req *request) response {
	t, err := parseTransport(req.header["transport"])
	if err != nil {
		return reply(statusNoTransport)
	}
	if status := c.maySetup(req); status != statusOK {
		return reply(status)
	}
	t.record = c.published != nil
	if c.session == nil {
		c.session = newSession(c, t.record)
	}
	tr, err := c.session.add(ctx, req.url, t)
	if err != nil {
		if len(c.session.tracks) == 0 {
			c.session = nil // the client never learnt of it and may try again
		}
		c.server.o.Logger.WarnContext(ctx, "cannot set up a track", "client", c.remote, "err", err)
		return reply(statusUnavailable)
	}
	return reply(statusOK,
		"Session", fmt.Sprintf("%s;timeout=%d", c.session.id, int(sessionTimeout.Seconds())),
		"Transport", t.answer(tr.port(), c.local, tr.ssrc))
}

// maySetup returns the status with which a SETUP is refused, or statusOK.
func (c *conn) maySetup(req *request) int {
	id := req.session()
	switch {
	case id != "" && (c.session == nil || c.session.id != id):
		return statusNoSession
	case id == "" && c.session != nil:
		return statusNoAggregate
	case c.session != nil && (c.session.busy() || c.session.has(req.url)):
		return statusWrongState
	case c.published == nil && !isLive(req.url):
		return statusNotFound
	case c.published != nil && !c.isPublished(req.url):
		return statusNotFound
	}
	return statusOK
}

// isPublished reports whether the URL is a track that ANNOUNCE described.
func (c *conn) isPublished(u *url.URL) bool {
	return slices.Contains(c.published, trackKey(u))
}
