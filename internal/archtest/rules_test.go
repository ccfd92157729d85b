package archtest

import (
	"slices"
	"strings"
)

const module = "github.com/vosbed/vosbed/"

// rule forbids imports. Paths of the module are written without its prefix; a path
// stands for itself and all below it.
type rule struct {
	name string
	// from are the packages that the rule binds, except are those it spares.
	from, except []string
	// deny are the forbidden imports, but not those in allow.
	deny, allow []string
	// std are the only standard packages that may be imported; nil = any but those
	// in deny.
	std []string
	// clockless says that nothing may ask for the time or wait.
	clockless bool
	// tests says that test files are bound too.
	tests  bool
	reason string
}

// impure are ways out of a pure package beyond the standard library; harmless is what
// it may use of that: packages without I/O, state, chance or another way out.
var (
	impure   = []string{"golang.org/x", "github.com/cilium", "github.com/vishvananda", "github.com/mdlayher"}
	harmless = []string{
		"bytes", "cmp", "errors", "fmt", "hash/fnv", "iter", "maps", "math", "math/bits", "net/netip", "slices", "sort",
		"strconv", "strings", "time", "unicode", "unicode/utf8",
	}
)

// clocks are the functions of package time that look at a clock or wait.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}

// actuators are set by reconcile, each on its own; sources find facts.
var (
	actuators = []string{
		"appliance/internal/dataplane/ebpf", "appliance/internal/dataplane/memory", "appliance/internal/dataplane/ipvs",
		"appliance/internal/proxy", "appliance/internal/vip", "appliance/internal/netcfg",
		"appliance/internal/system",
	}
	sources = []string{"appliance/internal/health", "appliance/internal/ha", "appliance/internal/peer", "appliance/internal/override"}
	ours    = []string{"appliance", "simvos", "harness", "images", "cmd", "internal"}
)

func rules() []rule {
	return slices.Concat(pureRules(), applianceRules(), roomRules())
}

func pureRules() []rule {
	return []rule{
		{
			name: "lb is the vocabulary", from: []string{"appliance/lb"},
			deny: slices.Concat(ours, []string{"github.com", "go.yaml.in", "golang.org"}), std: harmless, clockless: true,
			reason: "everybody speaks lb, so it depends on nothing",
		},
		{
			name: "plan is pure", from: []string{"appliance/internal/plan"},
			deny: slices.Concat(ours, impure), allow: []string{"appliance/lb"}, std: harmless, clockless: true,
			reason: "Compute does no I/O and owns no clock",
		},
		{
			name: "ha is pure", from: []string{"appliance/internal/ha"},
			deny: slices.Concat(ours, impure), allow: []string{"appliance/lb"}, std: harmless, clockless: true,
			reason: "Step takes events and returns actions, so that transcripts can test it",
		},
		{
			name: "verdict is pure", from: []string{"harness/verdict"},
			deny:  slices.Concat(ours, impure),
			allow: []string{"harness/observe", "harness/scenario", "harness/verdict"},
			std:   slices.Concat(harmless, []string{"encoding/json"}), clockless: true,
			reason: "a verdict follows from the history alone, so that an old run can be judged again",
		},
		{
			name: "topo is pure", from: []string{"harness/topo"},
			deny:  slices.Concat(ours, impure),
			allow: []string{"harness/scenario", "harness/topo", "appliance/lb"},
			std:   slices.Concat(harmless, []string{"net", "regexp"}), clockless: true, // net for HardwareAddr
			reason: "planning a lab touches nothing",
		},
	}
}

func applianceRules() []rule {
	return []rule{
		{
			name: "config stays at the edge", from: []string{"appliance/internal"}, deny: []string{"appliance/config"},
			reason: "internal packages take lb or plan values, never the file format",
		},
		{
			name: "config knows only lb", from: []string{"appliance/config"}, deny: ours,
			allow: []string{"appliance/lb", "appliance/config", "internal"}, reason: "a file becomes lb values and nothing else",
		},
		{
			name: "api is a public face", from: []string{"appliance/api"}, deny: []string{"appliance/internal", "appliance/config", "simvos", "harness", "cmd"},
			reason: "lbctl, the peer and the harness import it without the appliance",
		},
		{
			name: "an actuator stands alone", from: actuators, deny: slices.Concat(actuators, sources, []string{"appliance/internal/reconcile"}),
			reason: "each actuator is set by reconcile and knows neither another nor where facts come from",
		},
		{
			name: "a source acts on nothing", from: sources, deny: slices.Concat(actuators, []string{"appliance/internal/reconcile"}),
			reason: "facts flow to the plan; only reconcile acts",
		},
		{
			name: "reconcile knows functions", from: []string{"appliance/internal/reconcile"}, deny: slices.Concat(actuators, sources),
			reason: "actuators are handed to it by the composition root",
		},
		{
			name: "eBPF in one place", from: ours, except: []string{"appliance/internal/dataplane/ebpf", "harness"},
			deny: []string{"github.com/cilium/ebpf"}, reason: "only dataplane/ebpf knows eBPF (and the lab's own programs)",
		},
		{
			name: "IPVS in one place", from: ours, except: []string{"appliance/internal/dataplane/ipvs"},
			deny: []string{"github.com/moby/ipvs"}, reason: "only dataplane/ipvs knows IPVS",
		},
	}
}

func roomRules() []rule {
	return []rule{
		{
			name: "the harness is a stranger", from: []string{"harness"}, tests: true, deny: []string{"appliance", "simvos", "cmd", "images"},
			allow:  []string{"appliance/lb", "appliance/config", "appliance/api", "simvos/control"},
			reason: "it runs the real programs as processes; by import it would test itself",
		},
		{
			name: "the appliance knows no other room", from: []string{"appliance"}, tests: true, deny: []string{"harness", "images", "simvos", "cmd"},
			reason: "the product never knows its testbed or how it is packed",
		},
		{
			name: "simvos knows no other room", from: []string{"simvos"}, deny: []string{"harness", "images", "appliance", "cmd"},
			reason: "a simulator that knows the balancer proves nothing about it",
		},
		{
			name: "leaves are leaves", from: []string{"internal"}, tests: true, deny: []string{"appliance", "simvos", "harness", "images", "cmd"},
			reason: "shared by the rooms, so they import none of them",
		},
		{
			name: "nobody imports a program", from: []string{"appliance", "simvos", "harness", "internal"}, tests: true, deny: []string{"cmd"},
			reason: "mains are thin and at the end",
		},
	}
}

// below reports whether path is one of the roots or under one.
func below(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

// binds reports whether the rule applies to a package.
func (r rule) binds(pkg string) bool { return below(pkg, r.from) && !below(pkg, r.except) }

// forbids reports whether a package that the rule binds may not import path. The
// package itself and those below it may always be imported.
func (r rule) forbids(pkg, path string) bool {
	path = strings.TrimPrefix(path, module)
	if strings.HasPrefix(path, "github.com/vosbed") {
		return false
	}
	if below(path, r.allow) || path == pkg || sameActuator(pkg, path) {
		return false
	}
	// A standard package bans itself, not its whole subtree: net is impure,
	// net/netip is not.
	if !strings.Contains(path, ".") && !below(path, ours) {
		return slices.Contains(r.deny, path) || r.std != nil && !slices.Contains(r.std, path)
	}
	return below(path, r.deny)
}

// sameActuator reports whether both paths belong to one actuator or source.
func sameActuator(pkg, path string) bool {
	return slices.ContainsFunc(slices.Concat(actuators, sources), func(root string) bool {
		return below(pkg, []string{root}) && below(path, []string{root})
	})
}
