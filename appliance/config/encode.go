package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// Encode writes cfg as a file in which every value is explicit, and proves that
// [Parse] accepts it: an invalid cfg is refused with errors that are located in the
// text that would have been written. Parse(Encode(c)) equals c for every c that
// Parse returned.
func Encode(cfg lb.Config) ([]byte, error) {
	text, err := EncodeDraft(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := Parse("configuration", text); err != nil {
		return nil, fmt.Errorf("the configuration is not valid: %w", err)
	}
	return text, nil
}

// EncodeDraft writes a configuration that is being edited, whatever is wrong with it;
// [ParseDraft] reads it.
func EncodeDraft(cfg lb.Config) ([]byte, error) {
	f := file{Node: nodeToFile(cfg.Node), Cluster: clusterToFile(cfg.Cluster)}
	for _, s := range cfg.Services {
		f.Services = append(f.Services, serviceToFile(s))
	}
	var b bytes.Buffer
	d, err := yaml.NewDumper(&b, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	if err := errors.Join(d.Dump(f), d.Close()); err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return b.Bytes(), nil
}

// Mistakes is everything that keeps a configuration from taking effect, nil = nothing.
func Mistakes(cfg lb.Config) strictyaml.Errors {
	text, err := EncodeDraft(cfg)
	if err == nil {
		_, err = Parse("configuration", text)
	}
	if err == nil {
		return nil
	}
	return strictyaml.Join(err)
}

// Revision returns the content hash of cfg: 16 hex digits that are equal exactly
// if the configurations are.
func Revision(cfg lb.Config) string { return hash(cfg) }

// ClusterRevision is the content hash of what the pair shares: equal on two nodes
// that are in sync.
func ClusterRevision(cfg lb.Config) string {
	cfg.Node = lb.Node{}
	return hash(cfg)
}

func hash(cfg lb.Config) string {
	// Plain values, slices in order and no maps: the encoding is canonical.
	text, err := json.Marshal(canonical(cfg))
	if err != nil {
		panic(fmt.Sprintf("lb.Config holds only plain values: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// canonical makes empty lists nil, as [Parse] does: who removes the last item of a list
// leaves an empty one, which says the same.
func canonical(cfg lb.Config) lb.Config {
	n := &cfg.Node
	n.Management, n.Paths, n.PingNodes = some(n.Management), some(n.Paths), some(n.PingNodes)
	n.ManagementDHCP, n.ManagementHTTP, n.Fallback = some(n.ManagementDHCP), some(n.ManagementHTTP), some(n.Fallback)
	n.Authentication.Servers = some(n.Authentication.Servers)
	n.System = canonicalSystem(n.System)
	cfg.Services = some(slices.Clone(cfg.Services))
	for i := range cfg.Services {
		s := &cfg.Services[i]
		s.Ports, s.Check.Statuses, s.Reals = some(s.Ports), some(s.Check.Statuses), some(s.Reals)
	}
	return cfg
}

func some[S ~[]T, T any](list S) S {
	if len(list) == 0 {
		return nil
	}
	return list
}

func spanOf(d time.Duration) *strictyaml.Duration { return new(strictyaml.Duration(d)) }

func endpointOf(ap netip.AddrPort) string {
	if !ap.IsValid() {
		return ""
	}
	return ap.String()
}

func endpointsOf(list []netip.AddrPort) (out []string) {
	for _, ap := range list {
		out = append(out, endpointOf(ap))
	}
	return out
}

func portOf(p uint16) *uint16 {
	if p == 0 {
		return nil
	}
	return &p
}

func nodeToFile(n lb.Node) nodeFile {
	f := nodeFile{
		Name: n.Name,
		Role: n.Seat.String(),
		Replication: replicationFile{
			Local: endpointOf(n.Replication.Local),
			Peer:  endpointOf(n.Replication.Peer),
		},
		Ping:           n.PingNodes,
		Authentication: authenticationToFile(n.Authentication),
		Update:         updateFile(n.Update),
		System:         systemToFile(n.System),
	}
	f.DHCP = n.ManagementDHCP
	f.Management, f.HTTP, f.Fallback = endpointsOf(n.Management), endpointsOf(n.ManagementHTTP), endpointsOf(n.Fallback)
	for _, p := range n.Paths {
		f.Heartbeat = append(f.Heartbeat, pathFile{p.Name, endpointOf(p.Local), endpointOf(p.Peer)})
	}
	return f
}

func clusterToFile(c lb.Cluster) clusterFile {
	return clusterFile{
		Paired:     c.Paired,
		SecretFile: c.SecretFile,
		Heartbeat:  spanOf(c.Timers.Heartbeat),
		Dead:       spanOf(c.Timers.Dead),
		Lease:      spanOf(c.Timers.Lease),
		Init:       spanOf(c.Timers.Init),
		HoldDown:   spanOf(c.Timers.HoldDown),
		Failback:   c.Failback,
		Announce:   new(c.Announce),
		LeaseGuard: new(c.Lease),
		Replicate:  new(c.Replicate),
	}
}

func serviceToFile(s lb.VirtualService) serviceFile {
	f := serviceFile{
		Name:      s.Name,
		Address:   s.Addr,
		Ports:     s.Ports.String(),
		Protocol:  s.Protocols.String(),
		Layer:     layerOf(s.Layer),
		Method:    s.Method.String(),
		Interface: s.Interface,
		Scheduler: s.Scheduler.String(),
		Persistence: persistenceFile{
			Kind:    s.Persistence.Kind.String(),
			Timeout: spanOf(s.Persistence.Timeout),
			Mask4:   new(s.Persistence.Mask4),
			Mask6:   new(s.Persistence.Mask6),
		},
		DrainPersistent: s.DrainPersistent,
		Check:           checkToFile(s.Check, s.Method),
	}
	if s.Layer == lb.Layer7 {
		f.Proxy = proxyToFile(s.Proxy)
	}
	for _, r := range s.Reals {
		f.RealServers = append(f.RealServers, realFile{
			Name: r.Name, Address: r.Addr, Port: portOf(r.Port), Weight: new(r.Weight),
			MinConnections: r.MinConns, MaxConnections: r.MaxConns,
		})
	}
	return f
}

// layerOf keeps an impossible layer impossible, so that Parse refuses it.
func layerOf(l lb.Layer) *int {
	n, err := strconv.Atoi(l.String())
	if err != nil {
		return new(int(l))
	}
	return &n
}

func checkToFile(c lb.HealthCheck, m lb.Method) *checkFile {
	f := &checkFile{
		Type:     c.Kind.String(),
		Interval: spanOf(c.Interval),
		Timeout:  spanOf(c.Timeout),
		Fall:     new(c.Fall),
		Rise:     new(c.Rise),
		Jitter:   new(c.Jitter),
		Fast:     spanOf(c.Fast),
	}
	if !c.AutoPort {
		f.Port = portOf(c.Port)
	}
	if m == lb.DR && (c.Kind == lb.CheckNegotiate || c.Kind == lb.CheckConnect) {
		f.ThroughVIP = new(c.ThroughVIP)
	}
	if c.Kind == lb.CheckNegotiate {
		f.Protocol = c.Scheme.String()
		f.Request = c.Path
		f.Host = c.Host
		f.Expect = expectFile{Match: c.Match.String(), Value: c.Expect, Status: c.Statuses}
	}
	return f
}

func proxyToFile(p lb.ProxySettings) *proxyFile {
	return &proxyFile{
		MaxConnections: new(p.MaxConns),
		ConnectTimeout: spanOf(p.ConnectTimeout),
		IdleTimeout:    spanOf(p.IdleTimeout),
		FinTimeout:     spanOf(p.FinTimeout),
		Retries:        new(p.Retries),
		Fallback:       new(p.Fallback),
	}
}
