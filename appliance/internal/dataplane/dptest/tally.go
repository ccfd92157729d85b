package dptest

import (
	"context"
	"net/netip"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
	"github.com/vosbed/vosbed/appliance/lb"
)

// tally is what an engine's counters must say of the packets of a script.
type tally struct {
	servers  map[netip.Addr]lb.Counter
	services map[string]lb.Counter
	drops    map[string]lb.Counter
}

func newTally() tally {
	return tally{map[netip.Addr]lb.Counter{}, map[string]lb.Counter{}, map[string]lb.Counter{}}
}

func (w *world) note(v memory.Verdict, frame []byte) {
	n := lb.Counter{Packets: 1, Bytes: uint64(len(frame))}
	switch v.Action {
	case memory.Forward:
		service, _ := w.serverAt(v.Server)
		w.tally.servers[v.Server] = w.tally.servers[v.Server].Plus(n)
		w.tally.services[service] = w.tally.services[service].Plus(n)
	case memory.Drop:
		w.tally.drops[v.Reason] = w.tally.drops[v.Reason].Plus(n)
	case memory.Pass:
	}
}

// serverAt names the service and the server of a RIP.
func (w *world) serverAt(rip netip.Addr) (service, server string) {
	for _, s := range w.whole.Services {
		for _, r := range s.Reals {
			if r.Addr == rip {
				return s.Name, r.Name
			}
		}
	}
	return "", ""
}

// audit compares the counters with the packets of the script: nothing is counted twice
// or not at all, in packets and in bytes.
func (w *world) audit() {
	w.t.Helper()
	c, err := w.bench.Counters(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range w.table.Services {
		have := c.Services[s.Name]
		if want := w.tally.services[s.Name]; have.In != want {
			w.t.Errorf("service %s counts %+v, want %+v", s.Name, have.In, want)
		}
		for _, r := range s.Reals {
			if want := w.tally.servers[r.Addr]; have.Reals[r.Name].In != want {
				w.t.Errorf("server %s of %s counts %+v, want %+v", r.Name, s.Name, have.Reals[r.Name].In, want)
			}
		}
	}
	for reason, n := range c.Drops {
		if !api.DropsNothing(reason) && n != w.tally.drops[reason] {
			w.t.Errorf("%s counts %+v, want %+v", reason, n, w.tally.drops[reason])
		}
	}
	for reason, n := range w.tally.drops {
		if c.Drops[reason] != n {
			w.t.Errorf("%s counts %+v, want %+v", reason, c.Drops[reason], n)
		}
	}
}

// lost is what the engine says of flows that it no longer knew.
func (w *world) lost() lb.Counter {
	w.t.Helper()
	c, err := w.bench.Counters(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Drops["flow_lost"]
}
