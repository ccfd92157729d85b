package traffic

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/vosbed/vosbed/harness/observe"
)

// newHist returns a histogram of microseconds up to a minute, 3 digits exact.
func newHist() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// recordUS adds a duration in nanoseconds as microseconds, kept within range.
func recordUS(h *hdrhistogram.Histogram, ns int64) {
	// Within the range RecordValue cannot fail.
	_ = h.RecordValue(min(max(ns/1000, 1), 60_000_000))
}

// probeStats counts one window, or the whole probe.
type probeStats struct {
	received, lost, duplicated, reordered, foreign int
	hole                                           time.Duration
	hist, late                                     *hdrhistogram.Histogram
	servers                                        map[uint16]int
}

func newProbeStats() probeStats {
	return probeStats{hist: newHist(), late: newHist(), servers: make(map[uint16]int)}
}

func (s *probeStats) latency(ns int64) { recordUS(s.hist, ns) }

// fold adds a window to the total and clears it.
func (s *probeStats) fold(w *probeStats) {
	s.received += w.received
	s.lost += w.lost
	s.duplicated += w.duplicated
	s.reordered += w.reordered
	s.foreign += w.foreign
	s.hist.Merge(w.hist)
	s.late.Merge(w.late)
	w.hist.Reset()
	w.late.Reset()
	clear(w.servers)
	*w = probeStats{hist: w.hist, late: w.late, servers: w.servers}
}

// report emits the Series of the window that ends now, and every second the
// lateness of the pacer and the CPU time that others took.
func (p *probe) report(at int64) {
	w := &p.window
	p.takeLateness()
	p.silence(at)
	v := map[string]float64{
		"sent": p.sentSince(), "received": float64(w.received), "lost": float64(w.lost),
		"hole_ms": math.Max(w.hole.Seconds()*1000, 0),
		"late_us": float64(w.late.Max()),
	}
	if w.received > 0 {
		v["p50_us"] = float64(w.hist.ValueAtQuantile(50))
		v["p99_us"] = float64(w.hist.ValueAtQuantile(99))
		v["max_us"] = float64(w.hist.Max())
	}
	for id, n := range w.servers {
		v["server_"+strconv.Itoa(int(id))] = float64(n)
	}
	p.emitAt(p.rel(at), observe.KindSeries, observe.Series{Interval: probeWindow, Values: v})
	p.total.fold(w)
	p.second(at)
}

// takeLateness empties the sender's channel.
func (p *probe) takeLateness() {
	for {
		select {
		case ns := <-p.late:
			recordUS(p.window.late, ns)
			p.lateSec = append(p.lateSec, ns)
		default:
			return
		}
	}
}

// silence counts holes that last on, as long as the probe sends.
func (p *probe) silence(at int64) {
	if end := p.ended.Load(); end != 0 {
		at = min(at, end)
	}
	for _, f := range p.flows {
		if f.sent.Load() > 0 {
			p.window.hole = max(p.window.hole, time.Duration(at-f.last)-p.period)
		}
	}
}

// sentSince is the number of requests sent since the last call.
func (p *probe) sentSince() float64 {
	var sent uint64
	for _, f := range p.flows {
		sent += f.sent.Load()
	}
	before := p.reported
	p.reported = sent
	return float64(sent - before)
}

// second emits what is sampled once a second.
func (p *probe) second(at int64) {
	p.windows++
	if p.windows%int(time.Second/probeWindow) != 0 || len(p.lateSec) == 0 {
		return
	}
	slices.Sort(p.lateSec)
	p99 := p.lateSec[min(len(p.lateSec)*99/100, len(p.lateSec)-1)]
	p.lateSec = p.lateSec[:0]
	p.sampleAt(p.rel(at), observe.Sample{Metric: observe.MetricPacerLate, Value: math.Max(float64(p99)/1000, 0), Unit: "us"})
	if pct, ok := p.steal.since(); ok {
		p.sampleAt(p.rel(at), observe.Sample{Metric: observe.MetricSteal, Value: pct, Unit: "%"})
	}
}

// emitLatency emits the usual percentiles of a histogram of microseconds.
func (a *agent) emitLatency(metric string, h *hdrhistogram.Histogram) {
	if h.TotalCount() == 0 {
		return
	}
	for _, q := range []float64{50, 95, 99, 99.9, 100} {
		name := "p" + strconv.FormatFloat(q, 'f', -1, 64)
		if q == 100 {
			name = "max"
		}
		a.sample(metric, float64(h.ValueAtQuantile(q)), "us", map[string]string{"q": name})
	}
}

// stealMeter reads how much CPU time the hypervisor gave to others.
type stealMeter struct{ stolen, total float64 }

// read returns the jiffies stolen and in total since boot (proc(5), /proc/stat).
func (m *stealMeter) read() (stolen, total float64, ok bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 {
		return 0, 0, false
	}
	for i, f := range fields[1:9] {
		v, _ := strconv.ParseFloat(string(f), 64)
		total += v
		if i == 7 {
			stolen = v
		}
	}
	return stolen, total, true
}

// since returns the share stolen since the last call, in percent.
func (m *stealMeter) since() (float64, bool) {
	stolen, total, ok := m.read()
	before := *m
	m.stolen, m.total = stolen, total
	if !ok || before.total == 0 || total <= before.total {
		return 0, false
	}
	return 100 * (stolen - before.stolen) / (total - before.total), true
}
