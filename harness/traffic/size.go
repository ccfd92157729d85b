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

// resolve finds the load's size and holds it against the bounds.
func (a *agent) resolve(kind KindInfo) error {
	if a.Flows < 0 || a.Rate < 0 {
		return fmt.Errorf("flows is %d and rate %g: neither is negative", a.Flows, a.Rate)
	}
	a.size = kind.size(a.Spec)
	if a.size.flows > MaxFlows {
		return fmt.Errorf("flows is %d: use at most %d", a.size.flows, MaxFlows)
	}
	if all := a.size.rate * float64(a.size.flows); all > MaxRate {
		return fmt.Errorf("rate over all flows is %g per second: use at most %d", all, MaxRate)
	}
	return nil
}

// cores is one flow per processor.
func cores(s Spec) size { return fixed(runtime.NumCPU())(s) }
