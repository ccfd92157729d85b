package traffic

import (
	"fmt"
	"runtime"
)

// size is how much a load does at a time: its flows, and the requests or packets
// per second that each of them starts by plan (0 = none by plan).
type size struct {
	flows int
	rate  float64
}

// sizer resolves what a Spec leaves out.
type sizer func(Spec) size

// perSource is one flow per client address unless written otherwise.
func perSource(rate float64) sizer {
	return func(s Spec) size {
		return size{or(s.Flows, min(max(len(s.Sources), 1), MaxFlows)), or(s.Rate, rate)}
	}
}

// fixed is so many flows unless written otherwise, none of which has a rate.
func fixed(flows int) sizer {
	return func(s Spec) size { return size{or(s.Flows, flows), 0} }
}

// crowded is one flow that stands for all clients and all their services.
func crowded(s Spec) size {
	jobs := max(len(s.Sources), 1) * max(len(s.Services), 1)
	return size{1, or(s.Rate, 1) * float64(jobs)}
}

// requests is an open loop with a rate, else a closed one.
func requests(s Spec) size {
	if s.Rate > 0 {
		return perSource(0)(s)
	}
	return fixed(32)(s)
}

// media plays at the server's pace, or publishes at its own.
func media(s Spec) size {
	n := perSource(0)(s)
	n.rate = 0
	if s.Publish {
		n.rate = frameRate
	}
	return n
}

// or is v, or def when v says nothing.
func or[T int | float64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// mostClients is more than any bound of a load lets through.
const mostClients = 1 << 20

// Fits holds a load against the bounds of all loads (the network rule), with what it
// leaves out resolved as the agent does: also one whose sources the lab has not filled in.
func (s Spec) Fits() error {
	kind, ok := Kinds()[s.Kind]
	if !ok {
		return fmt.Errorf("unknown kind of load %q", s.Kind)
	}
	if len(s.Sources) == 0 {
		s.Sources = make([]string, min(max(s.Clients, 0), mostClients))
	}
	_, err := s.sized(kind)
	return err
}

// resolve finds the load's size.
func (a *agent) resolve(kind KindInfo) (err error) {
	a.size, err = a.sized(kind)
	return err
}

// sized finds a load's size and holds it against the bounds.
func (s Spec) sized(kind KindInfo) (size, error) {
	if s.Flows < 0 || s.Rate < 0 {
		return size{}, fmt.Errorf("flows is %d and rate %g: neither is negative", s.Flows, s.Rate)
	}
	n := kind.size(s)
	if n.flows > MaxFlows {
		return size{}, fmt.Errorf("flows is %d: use at most %d -- loads are bounded", n.flows, MaxFlows)
	}
	if all := n.rate * float64(n.flows); all > MaxRate {
		return size{}, fmt.Errorf("rate over all flows is %g per second: use at most %d -- loads are bounded", all, MaxRate)
	}
	return n, nil
}

// cores is one flow per processor.
func cores(s Spec) size { return fixed(runtime.NumCPU())(s) }
