package traffic

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/simvos/control"
)

// Timing of the probe.
const (
	probeWindow  = 100 * time.Millisecond // one Series
	probeGrace   = 500 * time.Millisecond // wait for the last replies
	longestGrace = 3 * time.Second        // the lab kills a load that does not end soon
	smallestGap  = 5 * time.Millisecond   // shorter holes are jitter
)

// probe is an open-loop UDP probe. Two threads share it: the sender touches
// only what is atomic and the file descriptors, everything else belongs to the
// receiver.
type probe struct {
	*agent
	flows  []*probeFlow
	period time.Duration // of one flow
	late   chan int64    // lateness of each sending in ns
	ended  atomic.Int64  // time of the last sending, once the sender is done
	failed atomic.Int64  // sendings the kernel refused

	window   probeStats
	total    probeStats
	lateSec  []int64
	reported uint64
	windows  int
	steal    stealMeter
}

// runProbe runs a probe until ctx ends and waits for the last replies.
func runProbe(ctx context.Context, a *agent) error {
	threads(8)
	p := &probe{agent: a, late: make(chan int64, 1<<16)}
	p.period = a.period()
	if err := p.open(a.flows()); err != nil {
		return err
	}
	defer p.close()
	pace := pacer{start: monotonic() + int64(20*time.Millisecond), rate: a.rate() * float64(len(p.flows))}
	if a.Count > 0 {
		pace.count = a.Count * len(p.flows)
	}
	p.begin(pace.start)
	var wg sync.WaitGroup
	wg.Go(func() {
		pace.run(ctx, p.send)
		p.ended.Store(max(monotonic(), pace.start))
	})
	failed := make(chan error, 1)
	wg.Go(func() { failed <- p.receive() })
	wg.Wait()
	p.finish()
	return <-failed
}

// send is one tick of the sender.
func (p *probe) send(n int, due int64) {
	f := p.flows[n%len(p.flows)]
	seq := f.sent.Add(1)
	var buf [control.ProbeRequestSize]byte
	frame := control.ProbeRequest{Flow: f.id, Seq: seq, Sent: due}.AppendTo(buf[:0])
	now := monotonic()
	if err := f.write(frame); err != nil {
		// A pending ICMP error is reported instead of sending: send again.
		if f.write(frame) != nil {
			p.failed.Add(1)
		}
	}
	select {
	case p.late <- now - due:
	default:
	}
}

// begin prepares the clocks of the flows.
func (p *probe) begin(start int64) {
	for _, f := range p.flows {
		f.last = start
	}
	p.window, p.total = newProbeStats(), newProbeStats()
	p.steal.since()
}

// threshold is the shortest hole that is reported as a Gap.
func (p *probe) threshold() time.Duration { return max(3*p.period, smallestGap) }

// arrive notes one reply. at is its time of arrival on CLOCK_MONOTONIC.
func (p *probe) arrive(f *probeFlow, frame []byte, at int64) {
	r, err := control.DecodeProbeReply(frame)
	if err != nil || r.Request.Flow != f.id || r.Request.Seq > f.sent.Load() {
		p.window.foreign++
		return
	}
	seq := r.Request.Seq
	switch f.mark(seq) {
	case seqDuplicate:
		p.window.duplicated++
		return
	case seqLate:
		p.window.reordered++
	case seqAhead:
		p.hole(f, r, at)
		f.highest = seq
	}
	p.window.received++
	p.window.latency(at - r.Request.Sent)
	p.window.servers[r.Marker.Server]++
	p.answered(f, r.Marker.Server, at)
	f.last = max(f.last, at)
}

// hole looks at the silence that this reply ends.
func (p *probe) hole(f *probeFlow, r control.ProbeReply, at int64) {
	silence := time.Duration(at - f.last)
	lost := int(r.Request.Seq - f.highest - 1)
	p.window.lost += lost
	p.window.hole = max(p.window.hole, silence-p.period)
	if silence <= p.threshold() {
		return
	}
	p.emitAt(p.rel(at), observe.KindGap, observe.Gap{
		Flow: int(f.id), From: p.rel(f.last), To: p.rel(at), Outage: silence - p.period,
		Lost: lost, Before: f.server, After: r.Marker.Server,
	})
}

// answered notes which server a client meets, when that changes.
func (p *probe) answered(f *probeFlow, server uint16, at int64) {
	if f.server == server {
		return
	}
	n := served{client: f.client, service: "udp", server: server}
	if f.server != 0 {
		n.last = p.rel(f.last)
	}
	f.server = server
	p.answeredBy(p.rel(at), n)
}

// rel is a time of CLOCK_MONOTONIC on the run's clock.
func (p *probe) rel(at int64) time.Duration { return time.Duration(at - p.Epoch) }

// finish emits open gaps and totals.
func (p *probe) finish() {
	end := p.ended.Load()
	var sent uint64
	for _, f := range p.flows {
		sent += f.sent.Load()
		silence := time.Duration(end - f.last)
		if silence <= p.threshold() || f.sent.Load() == 0 {
			continue
		}
		p.emit(observe.KindGap, observe.Gap{
			Flow: int(f.id), From: p.rel(f.last), To: p.rel(end), Outage: silence - p.period,
			Lost: int(f.sent.Load() - f.highest), Before: f.server, Open: true,
		})
	}
	t := &p.total
	p.sample("probe_sent", float64(sent), "", nil)
	p.sample("probe_received", float64(t.received), "", nil)
	p.sample("probe_lost", max(float64(sent)-float64(t.received), 0), "", nil)
	p.sample("probe_duplicated", float64(t.duplicated), "", nil)
	p.sample("probe_reordered", float64(t.reordered), "", nil)
	p.sample("probe_foreign", float64(t.foreign), "", nil)
	p.sample("probe_refused", float64(p.failed.Load()), "", nil)
	p.emitLatency("probe_latency_us", t.hist)
	if t.late.TotalCount() > 0 {
		p.sample("pacer_late_all_us", float64(t.late.ValueAtQuantile(99)), "us", map[string]string{"q": "p99"})
		p.sample("pacer_late_all_us", float64(t.late.Max()), "us", map[string]string{"q": "max"})
	}
}
