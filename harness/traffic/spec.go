// Package traffic holds the clients and generators of the testbed. A load runs in
// an agent process of its own, inside the network namespace of its node, so that
// nothing else in the testbed disturbs its clock. It reads one Spec and emits
// history records.
package traffic

import "time"

// Spec describes one load. Which fields count depends on Kind.
type Spec struct {
	Name string `yaml:"name,omitempty" json:"name"`
	// Kind is one of the keys of Kinds.
	Kind string `yaml:"kind" json:"kind"`
	// From is the node that runs the load, To the target "host:port" or
	// "${vip.traffic}:60000"; the lab resolves names before the agent starts.
	From string `yaml:"from" json:"from"`
	// Only burn has no target.
	To string `yaml:"to,omitempty" json:"to"`
	// Sources are the client addresses used in turn; filled by the lab from the
	// node's pool: Clients many of them.
	Clients int      `yaml:"clients,omitempty" json:"clients,omitempty"`
	Sources []string `yaml:"-" json:"sources,omitempty"`
	// Rate is requests or packets per second per flow (open loop); Flows the number
	// of concurrent flows or connections, where there is an open loop or a session one
	// per client address unless written; Count bounds requests, 0 = until stopped.
	Rate  float64 `yaml:"rate,omitempty" json:"rate,omitempty"`
	Flows int     `yaml:"flows,omitempty" json:"flows,omitempty"`
	Count int     `yaml:"count,omitempty" json:"count,omitempty"`
	// Duration bounds the load; every load has a bound (default 10 minutes).
	Duration time.Duration `yaml:"duration,omitempty" json:"duration,omitempty"`
	// Timeout of one request; how long a probe waits for its last replies.
	Timeout time.Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// Path of HTTP requests, stream name of RTSP/RTMP.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// Transport of RTSP (default udp) and of MPEG-TS (default tcp). Publish makes RTSP/RTMP send instead of play.
	Transport string `yaml:"transport,omitempty" json:"transport,omitempty"`
	Publish   bool   `yaml:"publish,omitempty" json:"publish,omitempty"`
	// Direction of bulk transfers: upload or download; Bytes bounds one of them.
	Direction string `yaml:"direction,omitempty" json:"direction,omitempty"`
	Bytes     int64  `yaml:"bytes,omitempty" json:"bytes,omitempty"`
	// Metric names the samples this load emits, with Labels added to each.
	Metric string            `yaml:"metric,omitempty" json:"metric,omitempty"`
	Labels map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
	// Services are what each client of "clients" uses, for example
	// [udp:60000, tcp:60001, rtsp:554, https:8443]; the host is that of To.
	Services []string `yaml:"services,omitempty" json:"services,omitempty"`
	// Fresh opens a new connection per HTTP request (close mode) instead of
	// keeping connections alive.
	Fresh bool `yaml:"fresh,omitempty" json:"fresh,omitempty"`
	// Epoch is the run's start on CLOCK_MONOTONIC in ns; filled by the lab.
	Epoch int64 `yaml:"-" json:"epoch,omitempty"`
}
