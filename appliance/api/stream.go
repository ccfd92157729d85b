package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Streams are server-sent events (text/event-stream, HTML Living Standard 9.2). The header
// Last-Event-ID, or the query after, names the last event that was seen: what came after it
// follows, as far as it is kept. Without it a stream begins now. An event [EventMissed]
// says that some were not kept. Comments keep a silent stream alive.
const (
	ContentStream = "text/event-stream"
	EventMissed   = "missed"
)

// Bounds of one event in bytes.
const maxEvent = 4 << 20

// sentEvent is one event of a stream.
type sentEvent struct {
	ID   uint64
	Name string // "" = message
	Data []byte
}

// errLongEvent is a stream that nobody sends.
var errLongEvent = errors.New("an event of the stream is too long")

// readEvents calls fn for each event of a stream until it ends.
func readEvents(r io.Reader, fn func(sentEvent) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxEvent)
	var e sentEvent
	var data bytes.Buffer
	for in.Scan() {
		line := in.Bytes()
		if len(line) == 0 {
			if data.Len() > 0 {
				e.Data = bytes.TrimSuffix(data.Bytes(), []byte("\n"))
				if err := fn(e); err != nil {
					return err
				}
			}
			e.Name = ""
			data.Reset()
			continue
		}
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			if n, err := strconv.ParseUint(value, 10, 64); err == nil {
				e.ID = n
			}
		case "event":
			e.Name = value
		case "data":
			if data.Len()+len(value) > maxEvent {
				return errLongEvent
			}
			data.WriteString(value + "\n")
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return errLongEvent
	}
	return in.Err()
}

// follow reads a stream after an event, 0 = from now on, until it ends, fn fails or ctx
// ends. The end of a stream is no error: follow it again.
func (c *Client) follow(ctx context.Context, path string, after uint64, fn func(sentEvent) error) error {
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", ContentStream)
	if after > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatUint(after, 10))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &UnreachableError{Where: c.where, Err: cause(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return problem(resp)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, ContentStream) {
		return fmt.Errorf("the appliance answered %q and no stream of events", kind)
	}
	var own error
	err = readEvents(resp.Body, func(e sentEvent) error {
		own = fn(e)
		return own
	})
	if err != nil && own == nil && ctx.Err() == nil {
		return &UnreachableError{Where: c.where, Err: cause(err)}
	}
	return own
}
