package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Bounds on a configuration.
const (
	maxName     = 64
	maxNodeName = 32 // as heartbeats carry it
	maxExpect   = 4096
)

// validate reports everything about cfg that would not work.
func validate(r *reader, cfg lb.Config) {
	validateNode(r, cfg.Node)
	validateCluster(r, cfg)
	if len(cfg.Services) > lb.MaxServices {
		r.fail("services", "%d services, the limit is %d -- remove some", len(cfg.Services), lb.MaxServices)
		return
	}
	names := make(map[string]int)
	for i, s := range cfg.Services {
		path := fmt.Sprintf("services[%d]", i)
		unique(r, names, path+".name", s.Name, i)
		validateService(r, s, path)
	}
	validateAddresses(r, cfg)
	validateSharing(r, cfg.Services)
	validateListeners(r, cfg.Services)
	validateRoom(r, cfg.Services)
}

// unique reports a name that was used before in the same list.
func unique(r *reader, seen map[string]int, path, name string, index int) {
	if name == "" {
		return // reported as missing
	}
	if first, twice := seen[name]; twice {
		r.fail(path, "the name %q is used twice, first by number %d of this list -- choose another", name, first+1)
		return
	}
	seen[name] = index
}

// checkName keeps names safe for pages, files, URLs and logs.
func checkName(r *reader, path, name string) {
	if name == "" {
		r.empty(path, "lb1")
		return
	}
	bad := strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.", c)
	})
	switch {
	case bad >= 0:
		r.fail(path, "the name %q has a character that is not allowed -- use letters, digits, _ - and .", name)
	case strings.ContainsRune("-._", rune(name[0])):
		r.fail(path, "the name %q must begin with a letter or a digit", name)
	case len(name) > maxName:
		r.fail(path, "the name has %d characters -- use at most %d", len(name), maxName)
	}
}

// within reports a duration out of bounds.
func within(r *reader, path string, d, low, high time.Duration) {
	if d < low || d > high {
		r.fail(path, "%v is out of range -- use %v to %v", d, low, high)
	}
}

// between reports a number out of bounds.
func between(r *reader, path string, n, low, high int) {
	if n < low || n > high {
		r.fail(path, "%d is out of range -- use %d to %d", n, low, high)
	}
}

func validateNode(r *reader, n lb.Node) {
	checkName(r, "node.name", n.Name)
	if len(n.Name) > maxNodeName && len(n.Name) <= maxName {
		r.fail("node.name", "the name has %d characters, but heartbeats carry at most %d -- choose a shorter one", len(n.Name), maxNodeName)
	}
	names := make(map[string]int)
	for i, p := range n.Paths {
		path := fmt.Sprintf("node.heartbeat[%d]", i)
		checkName(r, path+".name", p.Name)
		unique(r, names, path+".name", p.Name, i)
		ends(r, path+".peer", p.Local, p.Peer)
	}
	validateReplication(r, n.Replication)
	validateSockets(r, n)
	distinct(r, "node.ping", n.PingNodes)
	validateAuthentication(r, n.Authentication)
	validateUpdate(r, n.Update)
	validateSystem(r, n)
}

// validateSockets reports what this node could not open twice.
func validateSockets(r *reader, n lb.Node) {
	validateAccess(r, n)
	paths := make(map[netip.AddrPort]string)
	for i, p := range n.Paths {
		if other, twice := paths[p.Local]; twice && p.Local.IsValid() {
			r.fail(fmt.Sprintf("node.heartbeat[%d].local", i), "%s is this node's end of the path %s already -- remove one of the two, or lead it over another network", p.Local, other)
		}
		paths[p.Local] = p.Name
	}
}

// distinct reports every item that stands in its list before.
func distinct[T comparable](r *reader, path string, items []T) {
	var unread T // reported where it was read
	for i, item := range items {
		if first := slices.Index(items, item); first < i && item != unread {
			r.fail(fmt.Sprintf("%s[%d]", path, i), "%v is number %d of this list already -- remove one of the two", item, first+1)
		}
	}
}

func validateReplication(r *reader, rep lb.Replication) {
	const path = "node.replication"
	switch {
	case rep.Local.IsValid() && !rep.Peer.IsValid():
		r.fail(path+".peer", "the peer's address is missing -- write peer: with the other node's address")
	case rep.Peer.IsValid() && !rep.Local.IsValid():
		r.fail(path+".local", "this node's address is missing -- write local: with an address of this node")
	default:
		ends(r, path+".peer", rep.Local, rep.Peer)
	}
}

// ends checks the two ends of a link between the nodes.
func ends(r *reader, path string, local, peer netip.AddrPort) {
	switch {
	case !local.IsValid() || !peer.IsValid():
	case local.Addr() == peer.Addr():
		r.fail(path, "%s is this node's own address -- write the other node's", peer.Addr())
	case local.Addr().Is4() != peer.Addr().Is4():
		r.fail(path, "%s and %s are of different families -- use IPv4 or IPv6 for both", local.Addr(), peer.Addr())
	}
}

func validateCluster(r *reader, cfg lb.Config) {
	c, t := cfg.Cluster, cfg.Cluster.Timers
	validateTimers(r, t)
	if c.SecretFile != "" && (!strings.HasPrefix(c.SecretFile, "/") || strings.ContainsFunc(c.SecretFile, unicode.IsControl)) {
		r.fail("cluster.secret_file", "%q is not an absolute path -- write it from /", c.SecretFile)
	}
	if c.Paired {
		validatePair(r, cfg)
		return
	}
	validateAlone(r, cfg)
}

// validateAlone refuses a pair that does not say so: each of its nodes would stand
// alone and own the VIPs. A secret leads to no peer, so where paired: false is
// written in so many words it may stay for the day when there is one again.
func validateAlone(r *reader, cfg lb.Config) {
	if r.broken["cluster"] {
		return // a misspelt paired is told by its name
	}
	for _, k := range []struct {
		path    string
		written bool
	}{
		{"node.heartbeat", len(cfg.Node.Paths) > 0},
		{"node.replication", r.doc.Has("node.replication.local") || r.doc.Has("node.replication.peer")},
		{"cluster.secret_file", cfg.Cluster.SecretFile != "" && !r.doc.Has("cluster.paired")},
	} {
		if k.written {
			r.fail(k.path, "has no effect without a peer -- add cluster.paired: true, or remove it")
		}
	}
}

// validateTimers keeps the promises of the pair: never two nodes that serve.
func validateTimers(r *reader, t lb.HATimers) {
	within(r, "cluster.heartbeat", t.Heartbeat, time.Millisecond, time.Minute)
	within(r, "cluster.init", t.Init, 0, 10*time.Minute)
	within(r, "cluster.hold_down", t.HoldDown, 0, time.Hour)
	if r.broken["cluster.heartbeat"] || r.broken["cluster.dead"] || r.broken["cluster.lease"] {
		return // how they relate cannot be judged
	}
	if t.Dead <= 2*t.Heartbeat || t.Dead > 10*time.Minute {
		r.fail("cluster.dead", "%v must be more than two heartbeats (%v) and at most 10m, or one lost packet means a dead peer -- raise dead or lower heartbeat", t.Dead, 2*t.Heartbeat)
	}
	if t.Lease >= t.Dead {
		r.fail("cluster.lease", "%v must be less than dead (%v), or two nodes could serve at once -- lower lease or raise dead", t.Lease, t.Dead)
	}
	if t.Lease <= t.Heartbeat {
		r.fail("cluster.lease", "%v must be more than one heartbeat (%v), or it expires between renewals -- raise lease or lower heartbeat", t.Lease, t.Heartbeat)
	}
}

func validatePair(r *reader, cfg lb.Config) {
	if cfg.Cluster.SecretFile == "" {
		r.fail("cluster.secret_file", "a pair needs its secret -- write secret_file: with the path of a file of at least 32 random bytes, equal on both nodes")
	}
	if len(cfg.Node.Paths) == 0 {
		r.fail("node.heartbeat", "a pair needs a heartbeat path -- add one, better two, under node.heartbeat")
	}
	if cfg.Cluster.Replicate && !cfg.Node.Replication.Local.IsValid() && !cfg.Node.Replication.Peer.IsValid() {
		r.fail("node.replication", "a pair replicates its persistence table -- write replication: {local: …, peer: …} or set cluster.replicate: false")
	}
}

func validateService(r *reader, s lb.VirtualService, path string) {
	checkName(r, path+".name", s.Name)
	validateMode(r, s, path)
	if len(s.Interface) > 15 || strings.ContainsFunc(s.Interface, notOfInterfaces) {
		r.fail(path+".interface", "%q is not the name of a network interface -- write for example eth0", s.Interface)
	}
	within(r, path+".persistence.timeout", s.Persistence.Timeout, time.Second, 24*time.Hour)
	between(r, path+".persistence.mask4", s.Persistence.Mask4, 1, 32)
	between(r, path+".persistence.mask6", s.Persistence.Mask6, 1, 128)
	if s.Layer == lb.Layer7 {
		validateProxy(r, s.Proxy, path+".proxy")
	}
	validateCheck(r, s, path+".check")
	validateReals(r, s, path)
}

// notOfInterfaces is what the name of no interface has: the kernel allows more, but nobody
// uses it, and it would be in the way of whoever reads the name.
func notOfInterfaces(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.@", c)
}

// validateMode checks what goes together.
func validateMode(r *reader, s lb.VirtualService, path string) {
	switch {
	case s.Layer == lb.Layer4 && s.Method != lb.DR:
		r.fail(path+".method", "layer 4 does not work by %s -- set method: dr, or layer: 7", s.Method)
	case s.Layer == lb.Layer7 && s.Method != lb.Proxy:
		r.fail(path+".method", "layer 7 does not work by %s -- set method: proxy, or layer: 4", s.Method)
	}
	if s.Layer == lb.Layer7 && s.Protocols != lb.TCP {
		r.fail(path+".protocol", "layer 7 carries TCP only -- set protocol: tcp, or layer: 4")
	}
	switch {
	case s.Layer == lb.Layer4 && s.Scheduler == lb.RoundRobin:
		r.fail(path+".scheduler", "layer 4 schedules by wlc or maglev -- choose one of them")
	case s.Layer == lb.Layer7 && s.Scheduler == lb.Maglev:
		r.fail(path+".scheduler", "layer 7 schedules by wlc or rr -- choose one of them")
	}
}

func validateProxy(r *reader, p lb.ProxySettings, path string) {
	between(r, path+".max_connections", p.MaxConns, 0, 1_000_000)
	within(r, path+".connect_timeout", p.ConnectTimeout, 10*time.Millisecond, time.Minute)
	within(r, path+".idle_timeout", p.IdleTimeout, time.Second, 24*time.Hour)
	within(r, path+".fin_timeout", p.FinTimeout, 100*time.Millisecond, time.Hour)
	between(r, path+".retries", p.Retries, 0, 16)
}

func validateCheck(r *reader, s lb.VirtualService, path string) {
	c := s.Check
	within(r, path+".interval", c.Interval, 50*time.Millisecond, time.Hour)
	within(r, path+".timeout", c.Timeout, 10*time.Millisecond, 5*time.Minute)
	if c.Fast != 0 && c.Interval >= 50*time.Millisecond {
		within(r, path+".fast", c.Fast, 10*time.Millisecond, c.Interval)
	}
	between(r, path+".fall", c.Fall, 1, 100)
	between(r, path+".rise", c.Rise, 1, 100)
	if !(c.Jitter >= 0 && c.Jitter <= 0.5) {
		r.fail(path+".jitter", "%v is out of range -- use a fraction of the interval from 0 to 0.5", c.Jitter)
	}
	if c.ThroughVIP && s.Method != lb.DR {
		r.fail(path+".through_vip", "only servers of a DR service have the VIP -- remove this key")
	}
	if c.Kind == lb.CheckNegotiate {
		validateNegotiate(r, c, path)
	}
}

func validateNegotiate(r *reader, c lb.HealthCheck, path string) {
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsFunc(c.Path, func(x rune) bool { return x <= ' ' || x >= 0x7f }) {
		r.fail(path+".request", "%q is not a request path -- begin with / and use no spaces, for example /admin/status", c.Path)
	}
	if strings.ContainsFunc(c.Host, func(x rune) bool { return x <= ' ' || x >= 0x7f || x == '/' || x == '@' }) {
		r.fail(path+".host", "%q is not a host name -- write for example vos.example.org", c.Host)
	}
	if c.Match != lb.MatchAny && c.Expect == "" {
		r.fail(path+".expect", "match: %s needs a value -- add value: Healthy, or set match: any", c.Match)
	}
	if c.Match == lb.MatchAny && c.Expect != "" {
		r.fail(path+".expect.value", "match: any ignores the value -- remove it or set match: equals")
	}
	// The same trimming as the answer's, or no answer could ever be equal.
	if c.Match == lb.MatchEquals && c.Expect != strings.TrimRightFunc(c.Expect, unicode.IsSpace) {
		r.fail(path+".expect.value", "the value ends in white space, which is trimmed from the answer before they are compared -- remove it")
	}
	if len(c.Expect) > maxExpect {
		r.fail(path+".expect.value", "%d bytes are too long -- use at most %d", len(c.Expect), maxExpect)
	}
	for i, status := range c.Statuses {
		between(r, fmt.Sprintf("%s.expect.status[%d]", path, i), status, 200, 599)
	}
}

func validateReals(r *reader, s lb.VirtualService, path string) {
	if len(s.Reals) > lb.MaxRealServers {
		r.fail(path+".real_servers", "%d real servers, the limit is %d -- use several services", len(s.Reals), lb.MaxRealServers)
		return
	}
	if len(s.Reals) == 0 && r.doc.Has(path+".real_servers") {
		r.fail(path+".real_servers", "a service without a server drops whatever its clients send -- add a real server, or remove the service")
	}
	names := make(map[string]int)
	targets := make(map[netip.AddrPort]string)
	for i, rip := range s.Reals {
		at := fmt.Sprintf("%s.real_servers[%d]", path, i)
		checkName(r, at+".name", rip.Name)
		unique(r, names, at+".name", rip.Name, i)
		validateReal(r, s, rip, at)
		target := netip.AddrPortFrom(rip.Addr, rip.Port)
		if other, twice := targets[target]; twice && rip.Addr.IsValid() {
			r.fail(at+".address", "%s is already the address of %s in this service -- remove one of the two", rip.Addr, other)
		}
		targets[target] = rip.Name
	}
}

func validateReal(r *reader, s lb.VirtualService, rip lb.RealServer, path string) {
	between(r, path+".weight", rip.Weight, 0, 65535)
	between(r, path+".max_connections", rip.MaxConns, 0, 10_000_000)
	if rip.MinConns < 0 || rip.MinConns > rip.MaxConns {
		r.fail(path+".min_connections", "%d must lie between 0 and max_connections (%d): a full server takes new clients again at min_connections -- lower it or raise max_connections", rip.MinConns, rip.MaxConns)
	}
	if s.Method != lb.DR {
		return
	}
	if rip.Port != 0 {
		r.fail(path+".port", "port translation is not possible with DR (guide 7.1) -- remove this key")
	}
	if s.Addr.IsValid() && rip.Addr.IsValid() && s.Addr.Is4() != rip.Addr.Is4() {
		r.fail(path+".address", "%s and the VIP %s are of different families, which DR cannot bridge -- use an address of the VIP's family", rip.Addr, s.Addr)
	}
}
