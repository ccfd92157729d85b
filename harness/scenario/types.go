package scenario

import (
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/harness/traffic"
)

// Scenario is one file of the language.
type Scenario struct {
	Name  string `yaml:"name" strict:"required"`
	Title string `yaml:"title,omitempty"`
	About string `yaml:"about,omitempty"`
	// Extends names a scenario whose every part but its mutants is taken over unless
	// written here; loads and expectations merge by name, overlays by key.
	Extends  string   `yaml:"extends,omitempty"`
	Covers   []string `yaml:"covers,omitempty"`   // features, guide sections
	Requires []string `yaml:"requires,omitempty"` // programs, features: see Programs, Features
	// Manual leaves the scenario out when all are run: it takes long, or needs more
	// than others.
	Manual   bool          `yaml:"manual,omitempty"`
	Timeout  time.Duration `yaml:"timeout,omitempty"` // of the whole run, default 10 minutes
	Topology topo.Spec     `yaml:"topology,omitempty"`
	// Appliance changes the reference configuration of both appliances. Lists of
	// named things (services, real_servers) may be written as maps by name; a null
	// deletes. `fresh: true` starts them without any, as they come out of the box: see
	// FreshKey.
	Appliance Overlay `yaml:"appliance,omitempty"`
	// Dataplane is the engine asked of lbd: auto, tcx, clsact or memory.
	Dataplane string `yaml:"dataplane,omitempty"`
	// Capture can be switched off where it would cost throughput.
	Capture *bool                   `yaml:"capture,omitempty"`
	Wire    []WireRule              `yaml:"wire,omitempty"` // in force from the start
	Loads   map[string]traffic.Spec `yaml:"loads,omitempty"`
	Steps   []Step                  `yaml:"steps,omitempty"`
	Expect  []Expectation           `yaml:"expect,omitempty"`
	Mutants []Mutant                `yaml:"mutants,omitempty"`

	source []byte // the file, when it says everything
}

// WireRule changes what a node's cable on the switch carries.
type WireRule struct {
	Node string `yaml:"node"`
	// Drop is "all" (both directions, carrier stays), "garp" (announcements: ARP
	// with equal sender and target, unsolicited neighbour advertisements), or empty.
	Drop string `yaml:"drop,omitempty"`
	// Loss is the share of frames lost in each direction, 0..1.
	Loss float64 `yaml:"loss,omitempty"`
}

// Mutant is a deliberate defect that the scenario must notice.
type Mutant struct {
	Name   string `yaml:"name" strict:"required"`
	About  string `yaml:"about,omitempty"`
	Change Change `yaml:"change" strict:"required"`
	// MustFail names the expectation that must fail, or as "steps: NAME" the step;
	// any other outcome means that the mutant survived.
	MustFail string `yaml:"must_fail" strict:"required"`
	// Trials overrides the number of trials of every trials step (default 1), and
	// Only, if written, the names of the trials steps that are run.
	Trials int      `yaml:"trials,omitempty"`
	Only   []string `yaml:"only,omitempty"`
}

// Proof returns the expectation that must fail, and the step if that is what must.
func (m Mutant) Proof() (expectation, step string) {
	expectation, step, _ = strings.Cut(m.MustFail, ": ")
	return expectation, step
}

// Change is what a mutant alters.
type Change struct {
	Appliance Overlay            `yaml:"appliance,omitempty"` // both appliances
	Nodes     map[string]Overlay `yaml:"nodes,omitempty"`     // one appliance's configuration
	// Secret gives the named appliance a pairing secret of its own.
	Secret   string     `yaml:"secret,omitempty"`
	Topology topo.Spec  `yaml:"topology,omitempty"`
	Wire     []WireRule `yaml:"wire,omitempty"`
	// Faults are in force before the first step.
	Faults []Fault `yaml:"faults,omitempty"`
}

// Step is one thing to do. Exactly one key besides Name is written.
type Step struct {
	Name        string            `yaml:"name,omitempty"`
	Start       []string          `yaml:"start,omitempty"` // loads
	Stop        []string          `yaml:"stop,omitempty"`
	Run         string            `yaml:"run,omitempty"` // a load, until it is done
	Wait        time.Duration     `yaml:"wait,omitempty"`
	Until       *Until            `yaml:"until,omitempty"`
	Fault       *Fault            `yaml:"fault,omitempty"`
	Heal        string            `yaml:"heal,omitempty"` // a fault
	Admin       *Admin            `yaml:"admin,omitempty"`
	Pair        *Pair             `yaml:"pair,omitempty"`
	Restart     string            `yaml:"restart,omitempty"`     // a node, processes killed and started again
	KillDaemon  string            `yaml:"kill-daemon,omitempty"` // as restart, for lbd: SIGKILL and start at once
	Persistence *PersistenceClear `yaml:"persistence,omitempty"`
	Trials      *Trials           `yaml:"trials,omitempty"`
	Interleave  *Interleave       `yaml:"interleave,omitempty"`
	Sample      *SampleStep       `yaml:"sample,omitempty"`
	Ledger      *LedgerStep       `yaml:"ledger,omitempty"`
	ARP         *ARPStep          `yaml:"arp,omitempty"`
	Forget      string            `yaml:"forget,omitempty"`  // a node, the neighbours that have the VIPs
	Carried     string            `yaml:"carried,omitempty"` // a metric: see package step
	Parallel    []Step            `yaml:"parallel,omitempty"`
	Play        *PlayStep         `yaml:"play,omitempty"`
	Browser     *BrowserStep      `yaml:"browser,omitempty"`
	Password    *PasswordStep     `yaml:"password,omitempty"`
}

// Until waits for an expression over one status record. Node is a node, a role
// (role(active), role(passive)), target(FAULT) or peer(FAULT); empty = any
// appliance that answers; "all" = every one.
type Until struct {
	Expr   string        `yaml:"expr" strict:"required"`
	Node   string        `yaml:"node,omitempty"`
	Within time.Duration `yaml:"within" strict:"required"`
	// Metric, if written, records how long it took, in milliseconds.
	Metric string            `yaml:"metric,omitempty"`
	Labels map[string]string `yaml:"labels,omitempty"`
}

// Fault injects one fault.
type Fault struct {
	Name    string        `yaml:"name,omitempty"` // default: the kind
	Kind    string        `yaml:"kind" strict:"required"`
	Target  string        `yaml:"target" strict:"required"`
	Service string        `yaml:"service,omitempty"` // simvos faults: one service only
	Body    string        `yaml:"body,omitempty"`    // unhealthy
	Status  int           `yaml:"status,omitempty"`  // unhealthy
	Delay   time.Duration `yaml:"delay,omitempty"`   // slow
	Loss    float64       `yaml:"loss,omitempty"`    // loss
}

// Label returns the fault's name.
func (f Fault) Label() string {
	if f.Name != "" {
		return f.Name
	}
	return f.Kind
}

// Admin asks the active appliance for a state of a real server, "service/server".
type Admin struct {
	Drain    string        `yaml:"drain,omitempty"`
	Halt     string        `yaml:"halt,omitempty"`
	Online   string        `yaml:"online,omitempty"`
	Deadline time.Duration `yaml:"deadline,omitempty"` // of a drain
	// Name stands for drain or halt where the history and metrics name the fault.
	Name string `yaml:"name,omitempty"`
	Node string `yaml:"node,omitempty"` // default role(active)
}

// Pair commands an appliance to take the VIPs over or to release them.
type Pair struct {
	Takeover string `yaml:"takeover,omitempty"`
	Release  string `yaml:"release,omitempty"`
}

// PersistenceClear clears entries on the active appliance; empty = all.
type PersistenceClear struct {
	Clear ClearQuery `yaml:"clear"`
}

// ClearQuery selects persistence entries.
type ClearQuery struct {
	Service string `yaml:"service,omitempty"`
	Client  string `yaml:"client,omitempty"`
	Server  string `yaml:"server,omitempty"`
}

// Trials repeats steps. Before each trial the phase is drawn uniformly within
// Phase, so that a fault meets the heartbeat at any point of its period.
type Trials struct {
	Name   string        `yaml:"name" strict:"required"`
	Count  int           `yaml:"count" strict:"required"`
	Phase  time.Duration `yaml:"phase,omitempty"`
	Settle time.Duration `yaml:"settle,omitempty"` // before each trial
	Steps  []Step        `yaml:"steps" strict:"required"`
}

// Interleave runs two or three foreground loads in turn, each time in another
// order, and labels their samples with the number of the pair or triple; label path
// (direct, vip, or another such as haproxy) belongs to the loads.
type Interleave struct {
	A     string `yaml:"a" strict:"required"`
	B     string `yaml:"b" strict:"required"`
	C     string `yaml:"c,omitempty"`
	Pairs int    `yaml:"pairs" strict:"required"`
}

// Loads returns the loads in the order they are written.
func (i Interleave) Loads() []string {
	if i.C == "" {
		return []string{i.A, i.B}
	}
	return []string{i.A, i.B, i.C}
}

// SampleStep records the value of an expression over a node's status.
//
// The expression may use delivered, a map of the bytes that bulk loads had
// delivered when they ended, by load. Delta records the difference from the step
// of this metric before; the first such step records nothing.
type SampleStep struct {
	Metric string            `yaml:"metric" strict:"required"`
	Expr   string            `yaml:"expr" strict:"required"`
	Node   string            `yaml:"node,omitempty"` // default role(active)
	Labels map[string]string `yaml:"labels,omitempty"`
	Unit   string            `yaml:"unit,omitempty"`
	Delta  bool              `yaml:"delta,omitempty"`
}

// ARPStep solves the ARP problem of a simulated server, or brings it about: its
// program starts again in that mode.
type ARPStep struct {
	Node string `yaml:"node" strict:"required"`
	Set  string `yaml:"set" strict:"required"` // solved, unsolved
}

// LedgerStep records the value of an expression over the ledger of a simulated
// server (simvos/control.Status as `self`). Delta is that of SampleStep.
type LedgerStep struct {
	Metric string            `yaml:"metric" strict:"required"`
	Expr   string            `yaml:"expr" strict:"required"`
	Node   string            `yaml:"node" strict:"required"`
	Labels map[string]string `yaml:"labels,omitempty"`
	Unit   string            `yaml:"unit,omitempty"`
	Delta  bool              `yaml:"delta,omitempty"`
}
