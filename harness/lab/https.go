package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/devtls"
)

// https returns a client of the API on a node's management address, as seen from another
// node. Connections are kept: an emulated machine is slow to shake hands.
func (l *Lab) https(n *Node, from string, as api.Token) (*Remote, error) {
	cfg, err := devtls.ClientConfig(as.Pin)
	if err != nil {
		return nil, err
	}
	tr := &http.Transport{DialContext: l.dialFrom(from), TLSClientConfig: cfg, MaxIdleConnsPerHost: 1}
	return &Remote{
		node: n.Name, base: "https://" + WebUI(n.Machine).String(), token: as.Token,
		http: &http.Client{Transport: tr}, within: vmCall,
	}, nil
}

// dialFrom connects from a node's namespace.
func (l *Lab) dialFrom(node string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		n := l.nodes[node]
		if n == nil {
			return nil, fmt.Errorf("no node %q to connect from", node)
		}
		err = n.ns.Do(func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}
}

// pinOf returns the pin of the certificate that a node shows.
func (l *Lab) pinOf(ctx context.Context, n *Node, from string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	raw, err := l.dialFrom(from)(ctx, "tcp", WebUI(n.Machine).String())
	if err != nil {
		return "", err
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true}) // the pin is what is asked for
	defer conn.Close()
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("shake hands with %s: %w", n.Name, err)
	}
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return "", errors.New("no certificate was shown")
	}
	return devtls.Pin(certs[0]), nil
}

// ask makes a call and reads its answer into out, if there is one.
func (r *Remote) ask(ctx context.Context, method, path string, in, out any) error {
	b, err := r.call(ctx, method, path, in)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s: %s %s: %w", r.node, method, path, err)
	}
	return nil
}

// rewire gives a node of a pair the ways to its peer that the topology has.
func (v *machines) rewire(ctx context.Context, l *Lab, m *topo.Machine) error {
	r, err := l.nodes[m.Name].Remote()
	if err != nil {
		return err
	}
	defer r.http.CloseIdleConnections()
	part := strings.Replace(api.PathDraftPart, "{part}", "node", 1)
	if err := r.ask(ctx, http.MethodPut, part, pathFields(NodeSection(v.plan, m)), nil); err != nil {
		return err
	}
	return r.ask(ctx, http.MethodPost, api.PathApply, api.Apply{}, nil)
}

// pathFields writes the ways to the peer of a node section as the fields of a form.
func pathFields(section map[string]any) api.Fields {
	out := api.Fields{}
	add := func(at string, v any) {
		m, _ := v.(map[string]any)
		for key, value := range m {
			out[at+"."+key] = fmt.Sprint(value)
		}
	}
	paths, _ := section["heartbeat"].([]any)
	for i, p := range paths {
		add(fmt.Sprintf("heartbeat[%d]", i), p)
	}
	add("replication", section["replication"])
	return out
}
