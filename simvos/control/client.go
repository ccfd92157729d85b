package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxAnswer bounds an answer of the control socket in bytes: a node that met a
// hundred thousand clients stays below it.
const maxAnswer = 64 << 20

// Client talks to the control socket of one node. It is safe for concurrent
// use. Deadlines come from the context of each call.
type Client struct {
	http *http.Client
}

// NewClient returns a client of the unix socket at socketPath. It does not
// connect.
func NewClient(socketPath string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socketPath)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Close gives up idle connections; the client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the present state and ledger of the node.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/status", nil, &s)
	return s, err
}

// Faults returns the active faults of the node.
func (c *Client) Faults(ctx context.Context) ([]Fault, error) {
	var f []Fault
	err := c.call(ctx, http.MethodGet, "/faults", nil, &f)
	return f, err
}

// SetFault sets f, or replaces the fault of the same kind and service. When it
// returns, the fault is in force; listeners that a [Refuse] fault closes are
// closed.
func (c *Client) SetFault(ctx context.Context, f Fault) error {
	return c.call(ctx, http.MethodPut, "/faults", f, nil)
}

// ClearFault removes every fault of that kind. When it returns, listeners that
// were refused are open again.
func (c *Client) ClearFault(ctx context.Context, k Kind) error {
	return c.call(ctx, http.MethodDelete, "/faults?kind="+url.QueryEscape(string(k)), nil, nil)
}

// ClearFaults removes every fault.
func (c *Client) ClearFaults(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, "/faults", nil, nil)
}

// call sends in as JSON and decodes the answer into out; both may be nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	err := c.roundTrip(ctx, method, path, in, out)
	if err != nil {
		return fmt.Errorf("simvos control %s %s: %w", method, path, err)
	}
	return nil
}

func (c *Client) roundTrip(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://simvos"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return readError(resp)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out)
}

// readError turns the body of a failed call into an error.
func readError(resp *http.Response) error {
	var e errorBody
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&e) != nil || e.Error == "" {
		return errors.New(resp.Status)
	}
	return errors.New(e.Error)
}
