package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vosbed/vosbed/internal/devtls"
)

// Bounds of one call. A reload may bind many listeners and a takeover waits for
// the peer, so they get the longer time.
const (
	readTimeout  = 5 * time.Second
	actTimeout   = 30 * time.Second
	maxBody      = 64 << 20
	maxErrorBody = 1 << 20
)

// Client calls the management API of one appliance. Connections are kept alive,
// so polling is cheap. It is safe for concurrent use; Close ends idle connections.
type Client struct {
	http  *http.Client
	base  string
	where string
	token string
	// header goes with every request.
	header http.Header
}

// NewUnix returns a client of the daemon behind that unix socket. It does not
// connect yet.
func NewUnix(socketPath string) *Client {
	var d net.Dialer
	return &Client{
		base:  "http://lbd",
		where: socketPath,
		http: newHTTP(&http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, "unix", socketPath)
			},
		}),
	}
}

// NewHTTPS returns a client of the appliance at addr ("192.168.94.10:9443"). The
// pin, in curl's notation "sha256//…", names the certificate's public key; an
// empty pin leaves the decision to the system's certificate authorities.
func NewHTTPS(addr, token, pin string) (*Client, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("%q is not HOST:PORT (the management port is 9443): %w", addr, err)
	}
	cfg, err := devtls.ClientConfig(pin)
	if err != nil {
		return nil, err
	}
	return &Client{
		base: "https://" + addr, where: addr, token: token,
		http: newHTTP(&http.Transport{TLSClientConfig: cfg, TLSHandshakeTimeout: readTimeout}),
	}, nil
}

func newHTTP(t *http.Transport) *http.Client {
	t.MaxIdleConnsPerHost = 2
	t.ExpectContinueTimeout = readTimeout
	t.IdleConnTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = 16 << 10
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close closes the connections kept alive.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the whole state of the node.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.get(ctx, PathStatus, &s)
	return s, err
}

// Brief is Status without the histories of the health checks: a fraction of its size.
func (c *Client) Brief(ctx context.Context) (Status, error) {
	var s Status
	err := c.get(ctx, PathStatus+"?history=0", &s)
	return s, err
}

// SetServer brings a real server online, drains or halts it, now.
func (c *Client) SetServer(ctx context.Context, service, server string, want ServerState) error {
	return c.act(ctx, http.MethodPut, ServerPath(service, server), want, nil)
}

// segment makes a name one segment of a path, whatever it is: servers and clients take the
// names "." and ".." for folders, so these dots are escaped too.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// ServerPath is PathServer for one real server.
func ServerPath(service, server string) string {
	return strings.NewReplacer(
		"{service}", segment(service), "{server}", segment(server),
	).Replace(PathServer)
}

// Filter picks persistence entries; an empty field matches everything. Client is
// an address: it matches the entry under which the service keeps that client.
type Filter struct{ Service, Client, Server string }

func (f Filter) path() string {
	q := url.Values{}
	for key, value := range map[string]string{"service": f.Service, "client": f.Client, "server": f.Server} {
		if value != "" {
			q.Set(key, value)
		}
	}
	return (&url.URL{Path: PathPersistence, RawQuery: q.Encode()}).String()
}

// Persistence lists the entries that match, sorted by service and client.
func (c *Client) Persistence(ctx context.Context, f Filter) ([]Entry, error) {
	var e []Entry
	err := c.get(ctx, f.path(), &e)
	return e, err
}

// ClearPersistence removes the entries that match and tells how many they were.
func (c *Client) ClearPersistence(ctx context.Context, f Filter) (Cleared, error) {
	var n Cleared
	err := c.act(ctx, http.MethodDelete, f.path(), nil, &n)
	return n, err
}

// PairCommand is "takeover" (this node becomes active) or "release" (its peer does).
func (c *Client) PairCommand(ctx context.Context, command string) error {
	return c.act(ctx, http.MethodPost, PathPair, PairCommand{Command: command}, nil)
}

// Reload makes the daemon read its configuration file again. A file with mistakes
// changes nothing; the ProblemError lists them.
func (c *Client) Reload(ctx context.Context) error {
	return c.act(ctx, http.MethodPost, PathReload, nil, nil)
}

// NewToken replaces the HTTPS token. It works over the unix socket only.
func (c *Client) NewToken(ctx context.Context) (Token, error) {
	var t Token
	err := c.act(ctx, http.MethodPost, PathToken, nil, &t)
	return t, err
}

// Config returns the running configuration as YAML, and its revision.
func (c *Client) Config(ctx context.Context) (yaml []byte, revision string, err error) {
	var answer raw
	if err := c.get(ctx, PathConfig, &answer); err != nil {
		return nil, "", err
	}
	return answer.body, strings.Trim(answer.etag, `"`), nil
}

// Healthz returns nil if the daemon answers. It needs no token.
func (c *Client) Healthz(ctx context.Context) error { return c.get(ctx, PathHealthz, nil) }

// Metrics returns the Prometheus text exposition.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	var answer raw
	err := c.get(ctx, PathMetrics, &answer)
	return answer.body, err
}

// text is sent as it is, YAML.
type text []byte

// form is sent while it is read, and only once the appliance takes it.
type form struct {
	kind string
	body io.Reader
}

// raw receives an answer that is not JSON.
type raw struct {
	body []byte
	etag string
}

// stream passes an answer on as it comes.
type stream struct{ to io.Writer }

func (c *Client) get(ctx context.Context, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return c.do(ctx, http.MethodGet, path, nil, out)
}

func (c *Client) act(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	return c.do(ctx, method, path, in, out)
}

// do sends one request; in and out may be nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	req, err := c.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &UnreachableError{Where: c.where, Err: cause(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return problem(resp)
	}
	return read(resp, out)
}

func (c *Client) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	kind := "application/json"
	switch in := in.(type) {
	case nil:
	case text:
		kind, body = "application/yaml", bytes.NewReader(in)
	case form:
		kind, body = in.kind, in.body
	default:
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	maps.Copy(req.Header, c.header)
	if in != nil {
		req.Header.Set("Content-Type", kind)
	}
	if _, long := in.(form); long {
		req.Header.Set("Expect", "100-continue")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// cause drops the made-up URL that the HTTP client puts into its errors.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func read(resp *http.Response, out any) error {
	body := &io.LimitedReader{R: resp.Body, N: maxBody + 1}
	var err error
	switch out := out.(type) {
	case nil:
	case *raw:
		out.etag = resp.Header.Get("ETag")
		out.body, err = io.ReadAll(body)
	case *stream:
		_, err = io.Copy(out.to, body)
	default:
		err = json.NewDecoder(body).Decode(out)
	}
	if body.N <= 0 {
		return fmt.Errorf("the appliance's answer is longer than %d MiB: use a narrower filter", maxBody>>20)
	}
	if err != nil {
		return fmt.Errorf("read the appliance's answer: %w", err)
	}
	// The rest is read so that the connection can be used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody))
	return nil
}

// problem turns an error answer into a ProblemError. Something that is not a
// problem document (another server on that port) is reported by its status.
func problem(resp *http.Response) error {
	e := &ProblemError{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	isProblem := strings.HasPrefix(resp.Header.Get("Content-Type"), ContentProblem)
	if err != nil || !isProblem || json.Unmarshal(body, &e.Problem) != nil {
		e.Problem = Problem{Title: http.StatusText(resp.StatusCode)}
	}
	e.Problem.Status = resp.StatusCode
	return e
}
