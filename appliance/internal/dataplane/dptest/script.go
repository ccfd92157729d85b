package dptest

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// do runs one line of a script.
func (w *world) do(line string) {
	w.t.Helper()
	text, want, isPacket := strings.Cut(line, "=>")
	if isPacket {
		w.send(strings.Fields(text), strings.TrimSpace(want))
		return
	}
	f := strings.Fields(line)
	switch f[0] {
	case "drain", "halt", "down", "online":
		w.real(f[1], func(r *plan.L4Real) { r.State = states()[f[0]] })
	case "weight":
		w.real(f[1], func(r *plan.L4Real) { r.Weight = w.number(f[2]) })
	case "max":
		w.real(f[1], func(r *plan.L4Real) { r.MaxConns, r.MinConns = w.number(f[2]), w.number(f[3]) })
	case "remove":
		w.remove(f[1])
	case "ports":
		ports, err := lb.ParsePortSet(f[1])
		if err != nil {
			w.fatal("%v", err)
		}
		w.table.Services[0].Ports = ports
		w.apply()
	case "restore":
		w.table = clone(w.whole)
		w.apply()
	default:
		w.observe(f)
	}
}

func states() map[string]lb.ServeState {
	return map[string]lb.ServeState{"drain": lb.Draining, "halt": lb.Halted, "down": lb.Down, "online": lb.Serving}
}

// observe does what touches the bench, not the table.
func (w *world) observe(f []string) {
	w.t.Helper()
	var err error
	switch f[0] {
	case "age":
		var d time.Duration
		if d, err = time.ParseDuration(f[1]); err == nil {
			err = w.bench.Age(d)
		}
	case "lease":
		w.bench.Lease(f[1] == "on")
	case "sweep":
		err = w.bench.Sweep()
	case "restart":
		if err = w.bench.Restart(); err == nil {
			w.apply()
		}
	case "entries", "conns", "conflicts", "clear", "lost":
		w.count(f)
	default:
		w.fatal("unknown line %q", strings.Join(f, " "))
	}
	if err != nil {
		w.fatal("%s: %v", f[0], err)
	}
}

func (w *world) count(f []string) {
	w.t.Helper()
	ctx := context.Background()
	switch f[0] {
	case "entries":
		e, err := w.bench.(dataplane.Lister).Export(ctx)
		w.equal("entries", len(e), w.number(f[1]), err)
	case "conflicts":
		var c []lb.ARPConflict
		var err error
		if seer, ok := w.bench.(dataplane.Conflicts); ok {
			c, err = seer.Conflicts(ctx)
		}
		w.equal("conflicts", len(c), w.number(f[1]), err)
	case "conns":
		c, err := w.bench.Counters(ctx)
		w.equal("open connections", int(c.Services["media"].Reals[w.name(f[1])].ActiveConns), w.number(f[2]), err)
	case "lost":
		c, err := w.bench.Counters(ctx)
		w.equal("lost flows", int(c.Drops["flow_lost"].Packets), w.number(f[1]), err)
	case "clear":
		var sel dataplane.Selector
		if len(f) > 1 {
			sel.Client = netip.MustParseAddr(f[1])
		}
		if _, err := w.bench.(dataplane.Entries).Clear(ctx, sel); err != nil {
			w.fatal("clear: %v", err)
		}
	}
}

func (w *world) equal(what string, got, want int, err error) {
	w.t.Helper()
	if err != nil || got != want {
		w.fatal("%d %s, want %d (%v)", got, what, want, err)
	}
}

func (w *world) number(text string) int {
	w.t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		w.fatal("%v", err)
	}
	return n
}

// name is the server's name behind a label.
func (w *world) name(label string) string {
	_, name := w.serverAt(w.labels[label])
	return name
}

// real changes a labelled server and sets the table.
func (w *world) real(label string, change func(*plan.L4Real)) {
	w.t.Helper()
	for i := range w.table.Services {
		for j := range w.table.Services[i].Reals {
			r := &w.table.Services[i].Reals[j]
			if label == "all" || r.Addr == w.labels[label] {
				change(r)
			}
		}
	}
	w.apply()
}

func (w *world) remove(label string) {
	w.t.Helper()
	delete(w.tally.servers, w.labels[label]) // if it comes back, it is another
	for i := range w.table.Services {
		s := &w.table.Services[i]
		s.Reals = slices.DeleteFunc(s.Reals, func(r plan.L4Real) bool { return r.Addr == w.labels[label] })
	}
	w.apply()
}

// send puts a packet in and judges what comes out.
func (w *world) send(f []string, want string) {
	w.t.Helper()
	w.judge(strings.Join(f, " "), want, w.verdict(f))
}

// verdict sends the packet of a line and returns what became of it.
func (w *world) verdict(f []string) memory.Verdict {
	w.t.Helper()
	p, o, err := parse(w.c, f)
	if err != nil {
		w.fatal("%v", err)
	}
	frame, err := build(p, o)
	if err != nil {
		w.fatal("build %v: %v", f, err)
	}
	p.Length = len(frame)
	through := w.bench.Ingress
	if o.out {
		through = w.bench.Egress
	}
	got, err := through(p, frame)
	if err != nil {
		w.fatal("%v: %v", f, err)
	}
	w.note(got, frame)
	return got
}

func (w *world) judge(what, want string, got memory.Verdict) {
	w.t.Helper()
	if want == "pass" || strings.HasPrefix(want, "drop ") {
		if got.String() != want {
			w.fatal("%s: %s, want %s", what, got, want)
		}
		return
	}
	if got.Action != memory.Forward {
		w.fatal("%s: %s, want server %s", what, got, want)
	}
	label, not := strings.CutPrefix(want, "!")
	bound, known := w.labels[label]
	switch {
	case not && (!known || bound == got.Server):
		w.fatal("%s: %s is %s, want any other", what, got, label)
	case not || bound == got.Server:
	case known:
		w.fatal("%s: %s, want %s which is %s", what, got, label, bound)
	default:
		w.labels[label] = got.Server
	}
}
