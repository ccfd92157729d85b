package lb

import (
	"fmt"
	"strings"
)

// enum gives every enumeration one spelling for YAML, API, logs and pages.
type enum struct {
	kind  string
	names []string
}

func (e enum) text(v int) string {
	if v < 0 || v >= len(e.names) {
		return fmt.Sprintf("%s(%d)", e.kind, v)
	}
	return e.names[v]
}

func (e enum) parse(s string) (int, error) {
	for i, n := range e.names {
		if n == s {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q: use one of %s", e.kind, s, strings.Join(e.names, ", "))
}

// Layer is the layer at which a virtual service balances: 4 or 7.
type Layer int

// Layers (guide section 7).
const (
	Layer4 Layer = iota
	Layer7
)

func layers() enum { return enum{"layer", []string{"4", "7"}} }

// String returns "4" or "7".
func (l Layer) String() string { return layers().text(int(l)) }

// ParseLayer accepts "4" and "7".
func ParseLayer(s string) (Layer, error) { v, err := layers().parse(s); return Layer(v), err }

// Method is how packets reach a real server (guide section 7).
type Method int

// Methods. DR rewrites the destination MAC only (guide 7.1); Proxy terminates
// the connection and opens another (guide 7.2, "layer 7 SNAT").
const (
	DR Method = iota
	Proxy
)

func methods() enum { return enum{"method", []string{"dr", "proxy"}} }

// String returns "dr" or "proxy".
func (m Method) String() string { return methods().text(int(m)) }

// ParseMethod accepts "dr" and "proxy".
func ParseMethod(s string) (Method, error) { v, err := methods().parse(s); return Method(v), err }

// Scheduler chooses a real server for a client that has none.
type Scheduler int

// Schedulers. WLC and Maglev serve layer 4; WLC (as least connections) and
// RoundRobin serve layer 7.
const (
	WLC        Scheduler = iota // weighted least connections (the default)
	Maglev                      // weighted source hash, Maglev consistent hashing
	RoundRobin                  // weighted round robin
)

func schedulers() enum { return enum{"scheduler", []string{"wlc", "maglev", "rr"}} }

// String returns "wlc", "maglev" or "rr".
func (s Scheduler) String() string { return schedulers().text(int(s)) }

// ParseScheduler accepts "wlc", "maglev" and "rr".
func ParseScheduler(s string) (Scheduler, error) {
	v, err := schedulers().parse(s)
	return Scheduler(v), err
}

// PersistenceKind says what ties a client to a real server.
type PersistenceKind int

// Persistence kinds (guide 5.2: source IP).
const (
	PersistNone PersistenceKind = iota
	PersistSourceIP
)

func persistenceKinds() enum { return enum{"persistence", []string{"none", "source-ip"}} }

// String returns "none" or "source-ip".
func (p PersistenceKind) String() string { return persistenceKinds().text(int(p)) }

// ParsePersistenceKind accepts "none" and "source-ip".
func ParsePersistenceKind(s string) (PersistenceKind, error) {
	v, err := persistenceKinds().parse(s)
	return PersistenceKind(v), err
}

// CheckKind is the sort of health check.
type CheckKind int

// Check kinds. CheckOn never checks and is always up; CheckOff never checks and
// is always down.
const (
	CheckNegotiate CheckKind = iota
	CheckConnect
	CheckPing
	CheckOn
	CheckOff
)

func checkKinds() enum {
	return enum{"check type", []string{"negotiate", "connect", "ping", "on", "off"}}
}

// String returns the guide's word in lower case.
func (c CheckKind) String() string { return checkKinds().text(int(c)) }

// ParseCheckKind is the inverse of String.
func ParseCheckKind(s string) (CheckKind, error) {
	v, err := checkKinds().parse(s)
	return CheckKind(v), err
}

// Scheme is the protocol of a negotiate check.
type Scheme int

// Schemes.
const (
	HTTPS Scheme = iota
	HTTP
)

func schemes() enum { return enum{"check protocol", []string{"https", "http"}} }

// String returns "https" or "http".
func (s Scheme) String() string { return schemes().text(int(s)) }

// ParseScheme accepts "https" and "http".
func ParseScheme(s string) (Scheme, error) { v, err := schemes().parse(s); return Scheme(v), err }

// MatchKind is how a response body is compared.
type MatchKind int

// Match kinds. MatchEquals compares after trailing white space is trimmed from
// the body (the guide's "Response Equals" and "Response Expected").
const (
	MatchEquals MatchKind = iota
	MatchContains
	MatchAny
)

func matchKinds() enum { return enum{"match", []string{"equals", "contains", "any"}} }

// String returns "equals", "contains" or "any".
func (m MatchKind) String() string { return matchKinds().text(int(m)) }

// ParseMatchKind is the inverse of String.
func ParseMatchKind(s string) (MatchKind, error) {
	v, err := matchKinds().parse(s)
	return MatchKind(v), err
}

// Seat is a node's configured place in the pair (guide 14.1): who is which by
// paper, whoever is active at present.
type Seat int

// Seats.
const (
	Primary Seat = iota
	Secondary
)

func seats() enum { return enum{"role", []string{"primary", "secondary"}} }

// String returns "primary" or "secondary".
func (s Seat) String() string { return seats().text(int(s)) }

// ParseSeat is the inverse of String.
func ParseSeat(s string) (Seat, error) { v, err := seats().parse(s); return Seat(v), err }

// Role is a node's present role in the pair: an observed fact, never configured.
type Role int

// Roles. Standalone is a node without a peer: it owns the VIPs and needs no lease.
const (
	Passive Role = iota
	Active
	Standalone
)

func roles() enum { return enum{"present role", []string{"passive", "active", "standalone"}} }

// String returns "passive", "active" or "standalone".
func (r Role) String() string { return roles().text(int(r)) }

// ParseRole is the inverse of String.
func ParseRole(s string) (Role, error) { v, err := roles().parse(s); return Role(v), err }

// OwnsVIPs reports whether a node in this role should hold the VIPs.
func (r Role) OwnsVIPs() bool { return r == Active || r == Standalone }

// AdminState is what the operator wants of a real server now (guide 11.2).
type AdminState int

// Admin states. Drain: no new clients, existing flows stay. Halt: out at once,
// flows cut, persistence entries moved.
const (
	Online AdminState = iota
	Drain
	Halt
)

func adminStates() enum { return enum{"state", []string{"online", "drain", "halt"}} }

// String returns "online", "drain" or "halt".
func (a AdminState) String() string { return adminStates().text(int(a)) }

// ParseAdminState is the inverse of String.
func ParseAdminState(s string) (AdminState, error) {
	v, err := adminStates().parse(s)
	return AdminState(v), err
}

// ServeState is what follows for a real server from health and override: what an
// engine must do with it.
type ServeState int

// Serve states. Draining keeps existing flows and, if the service says so,
// persistent clients. Down and Halted cut flows and move clients. Unchecked is a
// server without a verdict yet, as after a restart of the daemon: an engine whose
// kernel state outlived the daemon keeps what stands there, any other treats it as
// Down.
const (
	Serving ServeState = iota
	Draining
	Down
	Halted
	Unchecked
)

func serveStates() enum {
	return enum{"serve state", []string{"serving", "draining", "down", "halted", "unchecked"}}
}

// String returns "serving", "draining", "down", "halted" or "unchecked".
func (s ServeState) String() string { return serveStates().text(int(s)) }

// ParseServeState is the inverse of String.
func ParseServeState(s string) (ServeState, error) {
	v, err := serveStates().parse(s)
	return ServeState(v), err
}

// TakesNewClients reports whether a client without an entry may be sent here.
func (s ServeState) TakesNewClients() bool { return s == Serving }

// KeepsFlows reports whether existing flows stay on the server.
func (s ServeState) KeepsFlows() bool { return s == Serving || s == Draining }
