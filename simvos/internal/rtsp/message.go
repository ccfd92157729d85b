// Package rtsp is the RTSP server of a node: the subset of RFC 2326 that
// players and publishers use, over RTP/AVP on UDP and interleaved in TCP.
//
// Each session over UDP owns a pair of ports (even for RTP, odd for RTCP) out
// of a pool, as media servers do, and everything it sends leaves from the
// address that the client used for the control connection. A session lives as
// long as its control connection.
package rtsp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Limits of what a client may send.
const (
	maxLine    = 4096
	maxHeaders = 64
	maxBody    = 64 << 10
)

const protocol = "RTSP/1.0"

// errMalformed reports bytes that are no RTSP request. The connection cannot
// go on after it.
var errMalformed = errors.New("malformed RTSP message")

// Methods of RFC 2326 section 10 that the server knows.
const (
	mOptions      = "OPTIONS"
	mDescribe     = "DESCRIBE"
	mAnnounce     = "ANNOUNCE"
	mSetup        = "SETUP"
	mPlay         = "PLAY"
	mPause        = "PAUSE"
	mRecord       = "RECORD"
	mTeardown     = "TEARDOWN"
	mGetParameter = "GET_PARAMETER"
	mSetParameter = "SET_PARAMETER"
)

// public is the answer to OPTIONS.
const public = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, PAUSE, RECORD, TEARDOWN, GET_PARAMETER, SET_PARAMETER"

// request is one request. Header names are in lower case.
type request struct {
	method string
	url    *url.URL
	header map[string]string
	body   []byte
}

// frame is one interleaved binary frame (section 10.12).
type frame struct {
	channel byte
	data    []byte
}

// readMessage reads the next request or interleaved frame; the other is nil.
func readMessage(r *bufio.Reader) (*request, *frame, error) {
	first, err := r.Peek(1)
	if err != nil {
		return nil, nil, err
	}
	if first[0] == '$' {
		f, ferr := readFrame(r)
		return nil, f, ferr
	}
	req, err := readRequest(r)
	return req, nil, err
}

func readFrame(r *bufio.Reader) (*frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	f := &frame{channel: head[1], data: make([]byte, int(head[2])<<8|int(head[3]))}
	_, err := io.ReadFull(r, f.data)
	return f, err
}

func readRequest(r *bufio.Reader) (*request, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	req, err := parseRequestLine(line)
	if err != nil {
		return nil, err
	}
	if err = readHeader(r, req.header); err != nil {
		return nil, err
	}
	length, err := req.contentLength()
	if err != nil {
		return nil, err
	}
	req.body = make([]byte, length)
	_, err = io.ReadFull(r, req.body)
	return req, err
}

// parseRequestLine parses "METHOD URL RTSP/1.0".
func parseRequestLine(line string) (*request, error) {
	f := strings.Fields(line)
	if len(f) != 3 || f[2] != protocol {
		return nil, fmt.Errorf("%w: request line %q", errMalformed, line)
	}
	u, err := url.Parse(f[1])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return &request{method: f[0], url: u, header: make(map[string]string)}, nil
}

// readHeader reads header fields up to the empty line.
func readHeader(r *bufio.Reader, header map[string]string) error {
	for range maxHeaders {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		if line == "" {
			return nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("%w: header line %q", errMalformed, line)
		}
		header[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return fmt.Errorf("%w: more than %d header lines", errMalformed, maxHeaders)
}

// readLine reads one line without its end.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
		return "", fmt.Errorf("%w: line longer than %d bytes", errMalformed, maxLine)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func (r *request) contentLength() (int, error) {
	text, ok := r.header["content-length"]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxBody {
		return 0, fmt.Errorf("%w: content length %q", errMalformed, text)
	}
	return n, nil
}

// session is the session id of the request, without parameters.
func (r *request) session() string {
	id, _, _ := strings.Cut(r.header["session"], ";")
	return strings.TrimSpace(id)
}

// Status codes of section 7.1.1 that the server answers.
const (
	statusOK           = 200
	statusBadRequest   = 400
	statusNotFound     = 404
	statusNoSession    = 454
	statusWrongState   = 455
	statusNoAggregate  = 459
	statusNoTransport  = 461
	statusNotSupported = 501
	statusUnavailable  = 503
)

func reason(status int) string {
	switch status {
	case statusOK:
		return "OK"
	case statusBadRequest:
		return "Bad Request"
	case statusNotFound:
		return "Not Found"
	case statusNoSession:
		return "Session Not Found"
	case statusWrongState:
		return "Method Not Valid In This State"
	case statusNoAggregate:
		return "Aggregate Operation Not Allowed"
	case statusNoTransport:
		return "Unsupported Transport"
	case statusNotSupported:
		return "Not Implemented"
	default:
		return "Service Unavailable"
	}
}

// response is one answer.
type response struct {
	status int
	header map[string]string
	body   []byte
}

// reply returns a response with that status and pairs of header names and values.
func reply(status int, pairs ...string) response {
	r := response{status: status, header: make(map[string]string)}
	for i := 0; i+1 < len(pairs); i += 2 {
		r.header[pairs[i]] = pairs[i+1]
	}
	return r
}

// appendTo appends the response as it is sent; header fields in alphabetical order.
func (r response) appendTo(b []byte) []byte {
	b = fmt.Appendf(b, "%s %d %s\r\n", protocol, r.status, reason(r.status))
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		b = fmt.Appendf(b, "%s: %s\r\n", name, r.header[name])
	}
	if len(r.body) > 0 {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(r.body))
	}
	return append(append(b, "\r\n"...), r.body...)
}
