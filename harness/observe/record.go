// Package observe is the memory of a run: an append-only history of timestamped
// records, written as JSON lines. Everything that is judged, plotted or reported
// comes from it alone, so that yesterday's run can be judged again.
package observe

import (
	"encoding/json"
	"time"
)

// Kind is the sort of a record.
type Kind string

// Kinds of records and the type of their Value.
const (
	KindRun    Kind = "run"    // Run: first record
	KindStep   Kind = "step"   // Span: begin and end of a step, Name = step
	KindFault  Kind = "fault"  // Fault: the instant a fault is in force, Name = fault
	KindHeal   Kind = "heal"   // Fault: the instant it was undone
	KindEvent  Kind = "event"  // Note: something worth a mark on the timeline
	KindStatus Kind = "status" // api.Status of Node, on change and once a second
	KindGap    Kind = "gap"    // Gap: a hole in a probe flow, Name = load
	KindSeries Kind = "series" // Series: one interval of a load, for plots
	KindSample Kind = "sample" // Sample: one measured value
	KindFrame  Kind = "frame"  // Frame: an ARP/ND claim to a VIP seen on the segment
	KindShot   Kind = "shot"   // Shot: a picture of a browser step, Name = step
	KindBroken Kind = "broken" // Note: the lab failed, no verdict about the product
)

// Record is one line of history. T counts from the start of the run on the
// monotonic clock of the host, which all processes of a run share.
type Record struct {
	T     time.Duration   `json:"t"` // nanoseconds
	Kind  Kind            `json:"kind"`
	Node  string          `json:"node,omitempty"`
	Name  string          `json:"name,omitempty"`
	Trial int             `json:"trial,omitempty"` // 1-based within its trials step
	Value json.RawMessage `json:"value,omitempty"`
}

// Run describes a run.
type Run struct {
	Scenario string    `json:"scenario"`
	Started  time.Time `json:"started"`
	Seed     uint64    `json:"seed"`
	Kernel   string    `json:"kernel"`
	CPUs     int       `json:"cpus"`
	Version  string    `json:"version"`
	// Servers are the real servers of the lab, by the ids in their markers.
	Servers []Server `json:"servers,omitempty"`
	// Driver ran the appliances, "" = as processes.
	Driver string `json:"driver,omitempty"`
}

// Server tells which server of the appliances' status a marker's id means.
type Server struct {
	ID        uint16   `json:"id"`
	Name      string   `json:"name"` // of its node
	Addresses []string `json:"addresses,omitempty"`
}

// Span marks a step. End is false at its beginning.
type Span struct {
	What string `json:"what"` // the step in words
	End  bool   `json:"end"`
	Err  string `json:"err,omitempty"`
}

// Fault describes an injected fault.
type Fault struct {
	Kind   string `json:"kind"` // kill, freeze, cut, blackhole, ...
	Target string `json:"target"`
	Role   string `json:"role,omitempty"` // the target's role when it was chosen by role
	// Server is the id in the markers of the real server that the fault takes
	// out (kill, halt, unhealthy, ...); 0 for other targets. Clients that leave
	// it have not lost their persistence.
	Server uint16 `json:"server,omitempty"`
}

// Shot is a picture of what a step saw.
type Shot struct {
	File string `json:"file"` // within the run directory
}

// Note is free text.
type Note struct {
	Text string `json:"text"`
}

// Gap is a hole in a probe flow: nothing arrived between From and To although
// the probe kept sending. Outage is To-From minus one sending period. Times are
// on the run's clock, in nanoseconds.
type Gap struct {
	Flow   int           `json:"flow"`
	From   time.Duration `json:"from"`
	To     time.Duration `json:"to"`
	Outage time.Duration `json:"outage"`
	Lost   int           `json:"lost"`
	Before uint16        `json:"before"` // server id before and after
	After  uint16        `json:"after"`
	Open   bool          `json:"open"` // still silent at the end of the load
}

// Series is one interval of a load.
type Series struct {
	Interval time.Duration      `json:"interval"`
	Values   map[string]float64 `json:"values"` // e.g. sent, received, p99_us, bytes
}

// Sample is one measured value. Samples of equal Metric and Labels form one
// distribution; its statistics are named "metric{label=value}.max" and so on.
type Sample struct {
	Metric string            `json:"metric"`
	Labels map[string]string `json:"labels,omitempty"`
	Value  float64           `json:"value"`
	Unit   string            `json:"unit,omitempty"`
}

// Frame is an ARP or ND frame that claims VIP for MAC.
type Frame struct {
	VIP  string `json:"vip"`
	MAC  string `json:"mac"`
	Node string `json:"node"` // owner of the MAC
	Sort string `json:"sort"` // garp, arp-reply, na, carrier
	// Sent is when the client sent the probe packet that a carrier carries, on the run's
	// clock; 0 = unknown.
	Sent time.Duration `json:"sent_ns,omitempty"`
}
