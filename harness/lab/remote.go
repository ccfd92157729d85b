package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/harness/topo"
)

// callTime bounds one API call.
const callTime = 5 * time.Second

// Remote speaks the management API of one appliance: over its unix socket, where the
// kernel vouches for the caller, or over HTTPS, with a token.
type Remote struct {
	node   string
	base   string // of its paths
	token  string // "" = none is needed
	within time.Duration
	http   *http.Client
}

// Remote returns a client of an appliance's API.
func (n *Node) Remote() (*Remote, error) {
	if n.Kind != topo.KindAppliance {
		return nil, fmt.Errorf("node %s is no appliance", n.Name)
	}
	return n.lab.driver.remote(n.lab, n)
}

// Status reads the node's whole state as it stands on the wire.
func (r *Remote) Status(ctx context.Context) (json.RawMessage, error) {
	return r.call(ctx, http.MethodGet, api.PathStatus, nil)
}

// SetServer asks for a state of a real server, "service/server".
func (r *Remote) SetServer(ctx context.Context, id string, want api.ServerState) error {
	service, server, ok := strings.Cut(id, "/")
	if !ok {
		return fmt.Errorf("real server %q is not service/server", id)
	}
	path := strings.NewReplacer("{service}", url.PathEscape(service), "{server}", url.PathEscape(server)).Replace(api.PathServer)
	_, err := r.call(ctx, http.MethodPut, path, want)
	return err
}

// Pair commands a takeover or a release.
func (r *Remote) Pair(ctx context.Context, command string) error {
	_, err := r.call(ctx, http.MethodPost, api.PathPair, api.PairCommand{Command: command})
	return err
}

// SetPassword makes an account an administrator's with that password.
func (r *Remote) SetPassword(ctx context.Context, user, password string) error {
	path := strings.Replace(api.PathAccount, "{name}", url.PathEscape(user), 1)
	_, err := r.call(ctx, http.MethodPut, path, api.NewAccount{Role: "admin", Password: password})
	return err
}

// ClearPersistence removes entries; empty fields match all.
func (r *Remote) ClearPersistence(ctx context.Context, service, client, server string) error {
	q := url.Values{}
	for k, v := range map[string]string{"service": service, "client": client, "server": server} {
		if v != "" {
			q.Set(k, v)
		}
	}
	_, err := r.call(ctx, http.MethodDelete, api.PathPersistence+"?"+q.Encode(), nil)
	return err
}

// Persistence lists the entries, as they stand on the wire.
func (r *Remote) Persistence(ctx context.Context) ([]any, error) {
	b, err := r.call(ctx, http.MethodGet, api.PathPersistence, nil)
	if err != nil {
		return nil, err
	}
	var out []any
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("%s: persistence: %w", r.node, err)
	}
	return out, nil
}

func (r *Remote) call(ctx context.Context, method, path string, in any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.within, callTime))
	defer cancel()
	b, err := r.roundTrip(ctx, method, path, in)
	if err != nil {
		return nil, fmt.Errorf("%s: %s %s: %w", r.node, method, path, err)
	}
	return b, nil
}

func (r *Remote) roundTrip(ctx context.Context, method, path string, in any) (json.RawMessage, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var p api.Problem
		if json.Unmarshal(b, &p) == nil && p.Detail != "" {
			return nil, errors.New(p.Detail)
		}
		return nil, errors.New(resp.Status)
	}
	return b, nil
}
