// Package api is the management API of the appliance: wire types, paths and a
// client. The WebUI, lbctl, the peer and the testbed all speak it. Requests go
// over HTTPS with a bearer token (guide 9.5: port 9443) or over a unix socket,
// where the kernel vouches for the caller.
package api

import (
	"strings"
	"time"
)

// Paths of the API, all below /api/v1.
const (
	PathStatus      = "/api/v1/status"
	PathServer      = "/api/v1/services/{service}/servers/{server}/state" // PUT ServerState
	PathPersistence = "/api/v1/persistence"                               // GET, DELETE; query service, client, server
	PathPair        = "/api/v1/pair"                                      // POST PairCommand
	PathReload      = "/api/v1/reload"                                    // POST
	PathConfig      = "/api/v1/config"                                    // GET (YAML)
	PathHealthz     = "/api/v1/healthz"                                   // GET, no authentication
	PathMetrics     = "/metrics"                                          // GET, Prometheus
	PathToken       = "/api/v1/token"                                     // POST: a new token, unix socket only
)

// Status is the whole state of a node.
type Status struct {
	Node      string     `json:"node"`
	Seat      string     `json:"configured_role"` // primary, secondary
	Role      string     `json:"role"`            // active, passive, standalone
	Revision  string     `json:"revision"`
	Version   string     `json:"version"`
	At        time.Time  `json:"at"`
	Pair      Pair       `json:"pair"`
	Dataplane Dataplane  `json:"dataplane"`
	Proxy     Proxy      `json:"proxy"`
	Services  []Service  `json:"services"`
	Conflicts []Conflict `json:"arp_conflicts"`
	Problems  []string   `json:"problems"`
}

// Pair is the high-availability part of Status. Durations are milliseconds.
type Pair struct {
	Since      time.Time `json:"since"`
	Term       uint64    `json:"term"`
	Reason     string    `json:"reason"`
	PeerAlive  bool      `json:"peer_alive"`
	PeerRole   string    `json:"peer_role,omitempty"`
	InSync     bool      `json:"in_sync"`
	LagMS      float64   `json:"replication_lag_ms"`
	LeaseHeld  bool      `json:"lease_held"`
	Paths      []Path    `json:"paths"`
	Pings      []Ping    `json:"ping_nodes"`
	RealTime   bool      `json:"real_time"`
	RealTimeNo string    `json:"real_time_missing,omitempty"`
}

// Path is one heartbeat path.
type Path struct {
	Name       string  `json:"name"`
	Up         bool    `json:"up"`
	LastSeenMS float64 `json:"last_seen_ms"`
	Rejected   uint64  `json:"rejected"`
}

// Ping is one ping node.
type Ping struct {
	Addr string `json:"address"`
	Up   bool   `json:"up"`
}

// Dataplane says which layer-4 engine runs and why.
type Dataplane struct {
	Engine string             `json:"engine"`
	Why    string             `json:"why"`
	Drops  map[string]Counter `json:"drops"`

	Flows         uint64 `json:"flows"`
	FlowCapacity  uint64 `json:"flow_capacity"`
	Entries       uint64 `json:"persistence_entries"`
	EntryCapacity uint64 `json:"persistence_capacity"`
}

// Proxy is layer 7 as a whole. Refused counts by reason, since the daemon started.
type Proxy struct {
	Sessions uint64            `json:"sessions"`
	Capacity uint64            `json:"session_capacity"`
	Refused  map[string]uint64 `json:"refused"`

	Entries       uint64 `json:"persistence_entries"`
	EntryCapacity uint64 `json:"persistence_capacity"`
	Evicted       uint64 `json:"persistence_evicted"`
}

// Counter counts packets and bytes.
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// DropsNothing says of a reason among [Dataplane.Drops] that it counts what full tables
// have cost, and that no packet was dropped for it.
func DropsNothing(reason string) bool {
	return reason == "table_full" || reason == "flow_lost" || strings.HasSuffix(reason, "_evicted")
}

// Counters are the counts of a service or a server.
type Counters struct {
	In          Counter `json:"in"`
	Out         Counter `json:"out"`
	Connections uint64  `json:"connections"`
	Active      uint64  `json:"active"`
	// Of layer 7: attempts to connect that failed, and those of them after which another
	// server was tried.
	ConnectFailed uint64 `json:"connect_failures,omitempty"`
	Retried       uint64 `json:"retries,omitempty"`
}

// Service is one virtual service.
type Service struct {
	Name     string   `json:"name"`
	Addr     string   `json:"address"`
	Ports    string   `json:"ports"`
	Protocol string   `json:"protocol"`
	Layer    string   `json:"layer"`
	Method   string   `json:"method"`
	Counters Counters `json:"counters"`
	// Fallback says that clients get the fallback page: no real server takes them.
	Fallback bool     `json:"fallback"`
	Servers  []Server `json:"servers"`
}

// Server is one real server of a service.
type Server struct {
	Name     string     `json:"name"`
	Addr     string     `json:"address"`
	Port     uint16     `json:"port,omitempty"`
	Weight   int        `json:"weight"`
	State    string     `json:"state"` // serving, draining, down, halted
	Why      string     `json:"why"`
	Admin    string     `json:"admin"` // online, drain, halt
	Deadline *time.Time `json:"drain_deadline,omitempty"`
	MAC      string     `json:"mac,omitempty"`
	Up       bool       `json:"up"`
	UpSince  time.Time  `json:"up_since"`
	Counters Counters   `json:"counters"`
	Last     *Verdict   `json:"last_check,omitempty"`
	History  []Verdict  `json:"check_history,omitempty"`
}

// Verdict is the readable result of one health check.
type Verdict struct {
	At          time.Time `json:"at"`
	OK          bool      `json:"ok"`
	Target      string    `json:"target"`
	Sent        string    `json:"sent"`
	Status      int       `json:"http_status,omitempty"`
	Body        string    `json:"body,omitempty"`
	Failed      string    `json:"failed,omitempty"`
	TLS         string    `json:"tls,omitempty"`
	ConnectMS   float64   `json:"connect_ms"`
	FirstByteMS float64   `json:"first_byte_ms"`
	TotalMS     float64   `json:"total_ms"`
	ViaVIP      bool      `json:"via_vip,omitempty"`
}

// Conflict is a foreign claim to a VIP on the segment.
type Conflict struct {
	VIP    string    `json:"vip"`
	MAC    string    `json:"mac"`
	Server string    `json:"server,omitempty"`
	Last   time.Time `json:"last"`
	Count  uint64    `json:"count"`
	Fix    string    `json:"fix"` // what to do, in words
}

// ServerState asks for a state of a real server now: online, drain or halt.
// Deadline, a Go duration such as "5m", halts a draining server after that time.
type ServerState struct {
	State    string `json:"state"`
	Deadline string `json:"deadline,omitempty"`
}

// PairCommand is "takeover" or "release".
type PairCommand struct {
	Command string `json:"command"`
}

// Entry is one persistence entry.
type Entry struct {
	Service string  `json:"service"`
	Client  string  `json:"client"`
	Server  string  `json:"server"`
	IdleMS  float64 `json:"idle_ms"`
}

// Cleared answers a DELETE of persistence entries.
type Cleared struct {
	Entries int `json:"entries"`
}

// Problem is every error answer (RFC 9457, application/problem+json).
type Problem struct {
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail"`
	Errors []string `json:"errors,omitempty"`
	// Fields are the mistakes in what was sent, by the key of Fields.
	Fields map[string]string `json:"fields,omitempty"`
	// Confirm says that the password must be given once more for this (PathConfirm).
	Confirm bool `json:"confirm,omitempty"`
}

// Token answers a POST to PathToken, once: only its hash is kept. Pin is the
// public-key pin of the HTTPS certificate in curl's notation, "" = no HTTPS.
type Token struct {
	Token string `json:"token"`
	Pin   string `json:"pin,omitempty"`
}
