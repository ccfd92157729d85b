package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/lab/wire"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/simvos/control"
)

// Injected is a fault in force.
type Injected struct {
	Fault scenario.Fault
	Node  string        // the target, resolved
	Role  string        // its role at that time, if it was chosen by role
	At    time.Duration // when it came into force
	heal  func(context.Context) error
}

// Inject brings a fault into force on a node. It returns when it holds.
func (l *Lab) Inject(ctx context.Context, f scenario.Fault, node string) (*Injected, error) {
	n := l.nodes[node]
	if n == nil {
		return nil, fmt.Errorf("fault %s: no node %q", f.Label(), node)
	}
	inject := injectors()[f.Kind]
	if inject == nil {
		inject = (*Lab).simvosFault
	}
	in := &Injected{Fault: f, Node: node, At: l.Now()}
	heal, err := inject(l, ctx, n, f)
	if err != nil {
		return nil, fmt.Errorf("fault %s on %s: %w", f.Label(), node, err)
	}
	in.heal = heal
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[f.Label()] = in
	return in, nil
}

// Heal undoes a fault.
func (l *Lab) Heal(ctx context.Context, in *Injected) error {
	l.mu.Lock()
	heal := in.heal
	in.heal = nil
	l.mu.Unlock()
	if heal == nil {
		return nil
	}
	if err := heal(ctx); err != nil {
		return fmt.Errorf("heal %s on %s: %w", in.Fault.Label(), in.Node, err)
	}
	return nil
}

// Fault returns the latest fault of that name, or nil.
func (l *Lab) Fault(name string) *Injected {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults[name]
}

// Open returns the faults that are still in force, by name.
func (l *Lab) Open() []*Injected {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*Injected
	for _, name := range slices.Sorted(maps.Keys(l.faults)) {
		if l.faults[name].heal != nil {
			out = append(out, l.faults[name])
		}
	}
	return out
}

// Silent reports whether a fault keeps the node's programs from answering.
func (l *Lab) Silent(node string) bool {
	for _, in := range l.Open() {
		if in.Node == node && (in.Fault.Kind == "kill" || in.Fault.Kind == "freeze") {
			return true
		}
	}
	return false
}

type injector func(*Lab, context.Context, *Node, scenario.Fault) (func(context.Context) error, error)

func injectors() map[string]injector {
	return map[string]injector{
		"kill":      (*Lab).kill,
		"freeze":    (*Lab).freeze,
		"cut":       (*Lab).cut,
		"blackhole": (*Lab).blackhole,
		"loss":      (*Lab).loss,
	}
}

// kill ends every process of the node; healing starts its program again.
func (l *Lab) kill(ctx context.Context, n *Node, _ scenario.Fault) (func(context.Context) error, error) {
	n.killAll(unix.SIGKILL)
	if err := n.wait(ctx); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return l.StartNode(ctx, n.Name) }, nil
}

// freeze stops every process of the node; healing lets them go on.
func (l *Lab) freeze(_ context.Context, n *Node, _ scenario.Fault) (func(context.Context) error, error) {
	n.killAll(unix.SIGSTOP)
	return func(context.Context) error { n.killAll(unix.SIGCONT); return nil }, nil
}

// cut takes the carrier of the node's service port.
func (l *Lab) cut(_ context.Context, n *Node, _ scenario.Fault) (func(context.Context) error, error) {
	port, err := servicePort(n)
	if err != nil {
		return nil, err
	}
	heal := func(context.Context) error { return l.setCarrier(port, true) }
	return heal, l.setCarrier(port, false)
}

func (l *Lab) blackhole(_ context.Context, n *Node, _ scenario.Fault) (func(context.Context) error, error) {
	return l.impair(n, wire.Rule{All: true})
}

func (l *Lab) loss(_ context.Context, n *Node, f scenario.Fault) (func(context.Context) error, error) {
	return l.impair(n, wire.Rule{Loss: f.Loss})
}

func servicePort(n *Node) (string, error) {
	p := n.Service()
	if p == nil || p.Switch == "" {
		return "", errors.New("the node has no port on a switch")
	}
	return p.Switch, nil
}

func (l *Lab) impair(n *Node, r wire.Rule) (func(context.Context) error, error) {
	port, err := servicePort(n)
	if err != nil {
		return nil, err
	}
	undo, err := l.applyWire(port, r)
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { return undo() }, nil
}

func (l *Lab) applyWire(port string, r wire.Rule) (func() error, error) {
	h, err := netlink.NewHandleAt(netns.NsHandle(l.sw.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("talk to the switch's namespace: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(port)
	if err != nil {
		return nil, fmt.Errorf("find port %s: %w", port, err)
	}
	var undo func() error
	err = l.sw.Do(func() error {
		var failed error
		undo, failed = wire.Apply(link.Attrs().Index, r)
		return failed
	})
	return undo, err
}

// Rules puts wire rules in force until the lab is closed.
func (l *Lab) Rules(rules []scenario.WireRule) error {
	for _, w := range rules {
		port, err := servicePort(l.nodes[w.Node])
		if err != nil {
			return fmt.Errorf("wire of %s: %w", w.Node, err)
		}
		undo, err := l.applyWire(port, wire.Rule{All: w.Drop == "all", GARP: w.Drop == "garp", Loss: w.Loss})
		if err != nil {
			return fmt.Errorf("wire of %s: %w", w.Node, err)
		}
		l.wires[w.Node] = append(l.wires[w.Node], undo)
	}
	return nil
}

// simvosFault sets a fault of a simulated server over its control socket, which
// lies outside the data path.
func (l *Lab) simvosFault(ctx context.Context, n *Node, f scenario.Fault) (func(context.Context) error, error) {
	if !slices.Contains(control.Kinds(), control.Kind(f.Kind)) {
		return nil, fmt.Errorf("unknown fault kind %q", f.Kind)
	}
	c := n.Control()
	err := c.SetFault(ctx, control.Fault{
		Kind: control.Kind(f.Kind), Service: f.Service, Body: f.Body,
		HTTPStatus: f.Status, DelayMS: f.Delay.Milliseconds(),
	})
	heal := func(ctx context.Context) error {
		defer c.Close()
		return c.ClearFault(ctx, control.Kind(f.Kind))
	}
	return heal, err
}

// terminateTime bounds the wait for a program that was asked to end.
const terminateTime = 15 * time.Second

// Terminate asks the node's program to end, so that it can tidy up.
func (l *Lab) Terminate(ctx context.Context, node string) error {
	n := l.nodes[node]
	if n == nil {
		return fmt.Errorf("terminate: no node %q", node)
	}
	n.killAll(unix.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, terminateTime)
	defer cancel()
	return n.wait(ctx)
}

// SetARP changes the mode in which a simulated server starts next.
func (l *Lab) SetARP(node, mode string) { l.nodes[node].ARP = mode }

// Restart kills the node's processes and starts its program again at once.
func (l *Lab) Restart(ctx context.Context, node string) error {
	n := l.nodes[node]
	if n == nil {
		return fmt.Errorf("restart: no node %q", node)
	}
	n.killAll(unix.SIGKILL)
	if err := n.wait(ctx); err != nil {
		return err
	}
	return l.StartNode(ctx, node)
}

// Describe names the faults in force, for messages.
func Describe(open []*Injected) string {
	var parts []string
	for _, in := range open {
		parts = append(parts, in.Fault.Label()+" on "+in.Node)
	}
	return strings.Join(parts, ", ")
}
