package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// Ports of the appliance itself (guide 9.5), used where the file gives none.
const (
	ManagementPort  = 9443
	HeartbeatPort   = 6694
	ReplicationPort = 7778
)

// Defaults where the file says nothing. The product's own are known in part only;
// docs and reference.yaml name the reason of each.
const (
	defaultHeartbeat = 100 * time.Millisecond
	defaultDead      = 300 * time.Millisecond
	defaultInit      = time.Second
	defaultHoldDown  = 5 * time.Second

	defaultWeight = 100 // guide 10.1.2

	defaultL4Persistence = 5 * time.Minute
	defaultL7Persistence = 30 * time.Minute
	defaultMask4         = 32
	defaultMask6         = 64

	defaultInterval = 5 * time.Second
	defaultTimeout  = 3 * time.Second
	defaultFast     = time.Second
	defaultFall     = 2
	defaultRise     = 2
	defaultJitter   = 0.1

	defaultConnectTimeout = 4 * time.Second
	defaultIdleTimeout    = 5 * time.Minute
	defaultFinTimeout     = 30 * time.Second
	defaultRetries        = 3
)

// Parse reads a configuration file; name is used in messages. The error, if any,
// is a [strictyaml.Errors] with every mistake; the Config is then empty.
func Parse(name string, data []byte) (lb.Config, error) {
	cfg, decoding, judging := read(name, data)
	if err := strictyaml.Join(decoding, judging).Or(); err != nil {
		return lb.Config{}, err
	}
	return cfg, nil
}

// ParseDraft reads a configuration that is being edited: services may lack real servers,
// and mistakes that concern more than one value are left for [Mistakes].
func ParseDraft(name string, data []byte) (lb.Config, error) {
	cfg, decoding, _ := read(name, data)
	if err := complete(decoding).Or(); err != nil {
		return lb.Config{}, err
	}
	return cfg, nil
}

// read reads a file: what could not be decoded, and what is wrong with the rest.
func read(name string, data []byte) (cfg lb.Config, decoding, judging strictyaml.Errors) {
	var f file
	doc, decodeErr := strictyaml.Decode(name, data, &f)
	if doc == nil {
		return cfg, strictyaml.Join(decodeErr), nil
	}
	if !doc.Has("") {
		return cfg, strictyaml.Errors{doc.Errorf("", "nothing is written here -- begin with node: and services:")}, nil
	}
	r := newReader(doc, decodeErr)
	cfg = lb.Config{Node: r.node(f.Node), Cluster: r.cluster(f.Cluster)}
	for i, s := range f.Services {
		cfg.Services = append(cfg.Services, r.service(s, r.item(fmt.Sprintf("services[%d]", i))))
	}
	validate(r, cfg)
	return cfg, strictyaml.Join(decodeErr), r.errs
}

// complete leaves out that a service has no real servers.
func complete(errs strictyaml.Errors) strictyaml.Errors {
	return slices.DeleteFunc(slices.Clone(errs), func(e strictyaml.Error) bool {
		return strings.HasSuffix(e.Key(), "."+keyReals)
	})
}

// keyReals is the key of a service's real servers.
const keyReals = "real_servers"

// reader translates file values and collects what is wrong with them.
type reader struct {
	doc    *strictyaml.Doc
	broken map[string]bool // paths that could not be decoded, and their parents
	errs   strictyaml.Errors
}

func newReader(doc *strictyaml.Doc, decodeErr error) *reader {
	r := &reader{doc: doc, broken: make(map[string]bool)}
	for _, e := range strictyaml.Join(decodeErr) {
		for path := e.Path; path != ""; path = parent(path) {
			r.broken[path] = true
		}
	}
	return r
}

func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// fail records a mistake unless the value there was broken already: its
// substitute must not be judged. Text after " -- " says what to do.
func (r *reader) fail(path, format string, args ...any) {
	if r.broken[path] {
		return
	}
	r.errs = append(r.errs, r.doc.Errorf(path, format, args...))
}

// empty reports a value that is written but empty; a missing one is reported where
// it is required.
func (r *reader) empty(path, example string) {
	if r.doc.Has(path) {
		r.fail(path, "is empty -- write for example %s", example)
	}
}

// item reports a list item that nothing is written for: its parts are not missed
// where they are required, as there is nothing that could have them.
func (r *reader) item(path string) string {
	if !r.doc.Has(path) {
		r.fail(path, "is an empty item -- write it out, or remove it from the list")
	}
	return path
}

func or[T any](written *T, otherwise T) T {
	if written == nil {
		return otherwise
	}
	return *written
}

func span(written *strictyaml.Duration, otherwise time.Duration) time.Duration {
	return time.Duration(or(written, strictyaml.Duration(otherwise)))
}

// word translates one of a set of words.
func word[T any](r *reader, path, text string, parse func(string) (T, error)) T {
	v, err := parse(text)
	if err != nil {
		msg, hint, _ := strings.Cut(err.Error(), ": ")
		r.fail(path, "%s -- %s", msg, hint)
	}
	return v
}

func text(written, otherwise string) string {
	if written == "" {
		return otherwise
	}
	return written
}

func (r *reader) node(f nodeFile) lb.Node {
	n := lb.Node{
		Name: f.Name,
		Seat: word(r, "node.role", text(f.Role, "primary"), lb.ParseSeat),
	}
	n.Management = r.endpoints("node.management", f.Management, ManagementPort)
	n.Access = r.access(f)
	for i, p := range f.Heartbeat {
		path := r.item(fmt.Sprintf("node.heartbeat[%d]", i))
		n.Paths = append(n.Paths, lb.HeartbeatPath{
			Name:  p.Name,
			Local: r.endpoint(path+".local", p.Local, HeartbeatPort),
			Peer:  r.endpoint(path+".peer", p.Peer, HeartbeatPort),
		})
	}
	n.Replication.Local = r.endpoint("node.replication.local", f.Replication.Local, ReplicationPort)
	n.Replication.Peer = r.endpoint("node.replication.peer", f.Replication.Peer, ReplicationPort)
	for i, a := range f.Ping {
		n.PingNodes = append(n.PingNodes, r.addr(r.item(fmt.Sprintf("node.ping[%d]", i)), a))
	}
	n.Authentication = r.authentication(f.Authentication)
	n.Update = lb.Update(f.Update)
	n.System = r.system(f.System)
	return n
}

// endpoints reads a list of them.
func (r *reader) endpoints(path string, list []string, port uint16) (out []netip.AddrPort) {
	for i, text := range list {
		out = append(out, r.endpoint(r.item(fmt.Sprintf("%s[%d]", path, i)), text, port))
	}
	return out
}

// endpoint reads "ip" or "ip:port"; an empty text is no endpoint.
func (r *reader) endpoint(path, s string, port uint16) netip.AddrPort {
	if s == "" {
		r.empty(path, "192.168.94.10")
		return netip.AddrPort{}
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(r.addr(path, a), port)
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		r.fail(path, "%s is not an address with a port -- write for example 192.168.94.10:%d, or the address alone", strconv.Quote(s), port)
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(r.addr(path, ap.Addr()), ap.Port())
}

// addr refuses what no service, server or node can have.
func (r *reader) addr(path string, a netip.Addr) netip.Addr {
	zone := a.Zone() // of which an IPv4 address in IPv6 form would lose sight
	a = a.Unmap()
	switch {
	case !a.IsValid():
		r.empty(path, "192.168.94.100")
	case zone != "":
		r.fail(path, "%s has a zone -- write the address without %%%s", a, zone)
	case a.IsUnspecified():
		r.fail(path, "%s stands for every address of a machine -- write a single one", a)
	case a.IsMulticast():
		r.fail(path, "%s is a multicast address, which belongs to a group -- write a unicast address", a)
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		r.fail(path, "%s is the broadcast address, which belongs to everyone -- write a unicast address", a)
	}
	return a
}

// vip refuses what clients cannot reach, or what could not move between nodes.
func (r *reader) vip(path string, a netip.Addr) netip.Addr {
	a = r.addr(path, a)
	switch {
	case a.IsLoopback():
		r.fail(path, "%s is a loopback address, which no client reaches from elsewhere -- write an address of the service network", a)
	case a.IsLinkLocalUnicast() && a.Zone() == "":
		r.fail(path, "%s is a link-local address, which no client reaches through a router -- write an address of the service network", a)
	}
	return a
}

func (r *reader) cluster(f clusterFile) lb.Cluster {
	heartbeat := span(f.Heartbeat, defaultHeartbeat)
	dead := defaultDead
	if f.Heartbeat != nil {
		dead = 3 * heartbeat
	}
	dead = span(f.Dead, dead)
	return lb.Cluster{
		Paired:     f.Paired,
		SecretFile: f.SecretFile,
		Timers: lb.HATimers{
			Heartbeat: heartbeat,
			Dead:      dead,
			Lease:     span(f.Lease, dead*5/6),
			Init:      span(f.Init, defaultInit),
			HoldDown:  span(f.HoldDown, defaultHoldDown),
		},
		Failback:  f.Failback,
		Announce:  or(f.Announce, true),
		Lease:     or(f.LeaseGuard, true),
		Replicate: or(f.Replicate, true),
	}
}

func (r *reader) service(f serviceFile, path string) lb.VirtualService {
	s := lb.VirtualService{
		Name:            f.Name,
		Addr:            r.vip(path+".address", f.Address),
		Ports:           r.ports(path+".ports", f.Ports),
		Protocols:       word(r, path+".protocol", text(f.Protocol, "tcp"), lb.ParseProtocols),
		Layer:           word(r, path+".layer", strconv.Itoa(or(f.Layer, 4)), lb.ParseLayer),
		Interface:       f.Interface,
		Scheduler:       word(r, path+".scheduler", text(f.Scheduler, "wlc"), lb.ParseScheduler),
		DrainPersistent: f.DrainPersistent,
	}
	usual := map[lb.Layer]string{lb.Layer4: "dr", lb.Layer7: "proxy"}[s.Layer]
	s.Method = word(r, path+".method", text(f.Method, usual), lb.ParseMethod)
	s.Persistence = r.persistence(f.Persistence, s.Layer, path+".persistence")
	s.Proxy = r.proxy(f.Proxy, s.Layer, path+".proxy")
	for i, rip := range f.RealServers {
		s.Reals = append(s.Reals, r.real(rip, r.item(fmt.Sprintf("%s.real_servers[%d]", path, i))))
	}
	s.Check = r.check(f.Check, s, path+".check")
	return s
}

func (r *reader) ports(path, s string) lb.PortSet {
	if s == "" {
		r.empty(path, "80, or 1935,554,50000-65535")
		return nil
	}
	set, err := lb.ParsePortSet(s)
	if err == nil {
		return set
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		msg, hint, _ := strings.Cut(line, ": ")
		r.fail(path, "%s -- %s", msg, hint)
	}
	return nil
}

func usualPersistence(layer lb.Layer) time.Duration {
	if layer == lb.Layer7 {
		return defaultL7Persistence
	}
	return defaultL4Persistence
}

func (r *reader) persistence(f persistenceFile, layer lb.Layer, path string) lb.Persistence {
	return lb.Persistence{
		Kind:    word(r, path+".kind", text(f.Kind, "source-ip"), lb.ParsePersistenceKind),
		Timeout: span(f.Timeout, usualPersistence(layer)),
		Mask4:   or(f.Mask4, defaultMask4),
		Mask6:   or(f.Mask6, defaultMask6),
	}
}

func (r *reader) proxy(f *proxyFile, layer lb.Layer, path string) lb.ProxySettings {
	if layer != lb.Layer7 {
		if f != nil {
			r.fail(path, "these settings are of layer 7, but the service is of layer 4 -- remove them or set layer: 7")
		}
		return lb.ProxySettings{}
	}
	if f == nil {
		f = &proxyFile{}
	}
	return lb.ProxySettings{
		MaxConns:       or(f.MaxConnections, 0),
		ConnectTimeout: span(f.ConnectTimeout, defaultConnectTimeout),
		IdleTimeout:    span(f.IdleTimeout, defaultIdleTimeout),
		FinTimeout:     span(f.FinTimeout, defaultFinTimeout),
		Retries:        or(f.Retries, defaultRetries),
		Fallback:       or(f.Fallback, true),
	}
}

func (r *reader) real(f realFile, path string) lb.RealServer {
	if f.Port != nil && *f.Port == 0 {
		r.fail(path+".port", "0 is not a port -- leave the key out to keep the port that the client used")
	}
	return lb.RealServer{
		Name:     f.Name,
		Addr:     r.addr(path+".address", f.Address),
		Port:     or(f.Port, 0),
		Weight:   or(f.Weight, defaultWeight),
		MinConns: f.MinConnections,
		MaxConns: f.MaxConnections,
	}
}

// ErrorsOf returns the mistakes held by an error of this package, nil if it holds
// none.
func ErrorsOf(err error) strictyaml.Errors {
	all, _ := errors.AsType[strictyaml.Errors](err)
	return all
}
