// Package dptest is the conformance suite of the layer-4 engines: an engine
// declares its capabilities, the suite proves them, one readable script per
// behaviour. The eBPF engine and the reference model pass the same scripts.
//
// A script is a list of lines. A packet line says what goes in and what comes out:
//
//	tcp S 10.0.0.1:1000 > V:80 => A       a SYN; A is bound to the server it reaches
//	tcp A 10.0.0.1:1000 > V:80 => A       now it must be the same server
//	udp 10.0.0.2:9 > V:5000 => !A         any server but A
//	udp first#7 10.0.0.1:9 > V:5000 => A  the first fragment of datagram 7
//	udp later#7 10.0.0.1 > V => A
//	icmp echo 10.0.0.1 > V => pass
//	icmp error 10.0.0.1 > V tcp 80 1000 => A     quotes server's port, client's port
//	arp 02:00:00:00:00:66 V > 10.0.0.1 => pass   sender's MAC and address > target
//	ns / na MAC SRC > V => pass                  neighbour discovery, target V
//	tcp S 10.0.0.1:1000 > V:81 => drop port_not_served
//
// V is the VIP, W the guarded (layer-7) VIP. Options before the addresses: foreign, broadcast, malformed:KIND,
// opts (IPv4 options or IPv6 extension headers), out (egress program). Other lines
// change the world: "drain A", "halt A", "down A", "online A", "weight A 0", "max A
// 2 1", "remove A", "restore", "ports 80,90-99" (of the first service), "age 61s",
// "lease on|off", "sweep", "entries N", "conns A N", "conflicts N", "lost N", "restart",
// "clear", "clear 10.0.0.1".
//
// After each script the engine's counters must account for its packets and bytes.
// Real time passes in an engine: ages keep five seconds away from every timeout, so
// that a test process which the machine stalls for a second is none the wiser.
package dptest

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// Bench is one engine with hands on its packets and its clock.
type Bench interface {
	dataplane.Plane
	dataplane.Declarer
	// Ingress and Egress put one packet through a program.
	Ingress(p memory.Packet, frame []byte) (memory.Verdict, error)
	Egress(p memory.Packet, frame []byte) (memory.Verdict, error)
	// Age makes every flow and entry older by d.
	Age(d time.Duration) error
	// Lease gives or takes the lease.
	Lease(held bool)
	// Sweep does the periodic work once.
	Sweep() error
	// Restart ends the engine and starts it again on the same kernel state.
	Restart() error
}

// Marker is the optional face of a bench that can tell whether a Set has written
// anything: Mark changes what is programmed behind the engine's back, Marked says
// whether all of that is still so.
type Marker interface {
	Mark() error
	Marked() (bool, error)
}

// Factory makes a fresh engine able to reach the real servers of the table.
type Factory func(t *testing.T, table plan.L4Table) Bench

// Run proves what the engine declares. lacks names cases that the engine fails: they must
// fail, so that the list says neither too much nor too little.
func Run(t *testing.T, factory Factory, lacks ...string) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			w := newWorld(t, c)
			w.bench = factory(t, w.table)
			if !c.declared(w.bench.Capabilities()) {
				t.Skipf("the engine does not declare this capability")
			}
			if !slices.Contains(lacks, c.Name) {
				w.script()
				return
			}
			f := &failure{TB: t}
			w.t = f
			if f.attempt(w.script); f.first == "" {
				t.Error("the engine can do this: take it off the list of what it lacks")
			}
			t.Logf("lacking: %s", f.first)
		})
	}
	t.Run("equal Set does nothing", func(t *testing.T) { setTwice(t, factory) })
	t.Run("one bad service takes nothing from the others", func(t *testing.T) { oneBad(t, factory) })
	t.Run("import and export", func(t *testing.T) { importExport(t, factory) })
	t.Run("stream", func(t *testing.T) { stream(t, factory) })
}

// Case is one behaviour.
type Case struct {
	Name   string
	Setup  string // words: maglev, nopersist, drainpersistent, v6, leased, shared, tcponly, mask24, three
	Needs  func(dataplane.Capabilities) bool
	Script string
}

func (c Case) declared(have dataplane.Capabilities) bool { return c.Needs == nil || c.Needs(have) }

func (c Case) has(word string) bool {
	return slices.Contains(strings.Fields(c.Setup), word)
}

// failure records the first failure of a case that is expected to fail.
type failure struct {
	testing.TB

	first string
}

// attempt runs fn until it fails.
func (f *failure) attempt(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

// Errorf records a failure.
func (f *failure) Errorf(format string, args ...any) {
	if f.first == "" {
		f.first = fmt.Sprintf(format, args...)
	}
}

// Fatalf records a failure and ends the attempt.
func (f *failure) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// Fatal is Fatalf in the manner of Sprint.
func (f *failure) Fatal(args ...any) { f.Fatalf("%s", fmt.Sprint(args...)) }

// world is one running script.
type world struct {
	t      testing.TB
	c      Case
	table  plan.L4Table
	whole  plan.L4Table // before removals
	bench  Bench
	labels map[string]netip.Addr
	line   int
	tally  tally
}

func newWorld(t *testing.T, c Case) *world {
	t.Helper()
	table := Table(c)
	return &world{t: t, c: c, table: table, whole: clone(table), labels: map[string]netip.Addr{}, tally: newTally()}
}

// script runs the case.
func (w *world) script() {
	w.t.Helper()
	w.apply()
	for i, line := range strings.Split(strings.TrimSpace(w.c.Script), "\n") {
		w.line = i + 1
		w.do(strings.TrimSpace(line))
	}
	w.audit()
}

func (w *world) apply() {
	w.t.Helper()
	if err := w.bench.Set(context.Background(), clone(w.table)); err != nil {
		w.fatal("set: %v", err)
	}
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("line %d: "+format, append([]any{w.line}, args...)...)
}
