package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/observe"
)

// Bounds of every load, whatever its Spec says.
const (
	DefaultDuration = 10 * time.Minute
	MaxDuration     = time.Hour
	MaxFlows        = 4096
	MaxClients      = 16384
	// MaxRate bounds packets or requests per second over all flows of a load.
	MaxRate = 100_000
)

// queue is how many records may wait for a slow reader before a load waits too.
const queue = 1 << 14

// run does one load until ctx ends or it is done, and emits its final records.
type run func(ctx context.Context, a *agent) error

// KindInfo describes one kind of load.
type KindInfo struct {
	// About says what the load does and which metrics it emits.
	About string
	run   run
	size  sizer
}

// Kinds is the table of loads, by Spec.Kind.
func Kinds() map[string]KindInfo {
	return map[string]KindInfo{
		"udp-probe":   {"open-loop UDP probe: gaps, loss, latency from the intended time", runProbe, perSource(1000)},
		"clients":     {"many client addresses use Services in turn and note which server answers", runClients, crowded},
		"udp-clients": {"clients over UDP probe frames only", runClients, crowded},
		"tcp-clients": {"clients over TCP probe frames only", runClients, crowded},
		"parallel":    {"simultaneous first connections of new clients: parallel_split", runParallel, fixed(8)},
		"tcp-stream":  {"long-lived TCP connections with probe frames: tcp_survival, tcp_stall_ms", runStream, perSource(50)},
		"web":         {"HTTP(S) requests over connections that stay open: web_survival, web_stall_ms, server identity", runWeb, perSource(10)},
		"burn":        {"busy loops, one per processor; sends nothing", runBurn, cores},
		"http":        {"HTTP(S) requests, open loop with rate, else closed loop: rps or cps, latency, errors", runHTTP, requests},
		"bulk":        {"throughput over TCP or HTTP(S): goodput in Mbit/s", runBulk, fixed(1)},
		"rtsp":        {"RTSP play or, with publish, RECORD over udp or tcp: continuity and server identity", runRTSP, media},
		"rtmp":        {"RTMP play or, with publish, publish: stalls, survival, server identity", runRTMP, media},
		"ts":          {"MPEG-TS over tcp or udp: continuity counters, server identity", runTS, media},
		"verify":      {"up to three attempts at each of Services: reachable{service=...} 1 or 0", runVerify, fixed(1)},
	}
}

// Main is the agent: it reads one Spec as JSON from stdin, runs it and writes
// records as JSON lines to stdout. The load ends, with its final records, when
// ctx ends, its duration is over, its work is done, or stdin is closed, which
// also happens when the parent dies. Main closes stdin if it can.
// A load that cannot run emits a record of KindBroken and returns the reason;
// an unreachable target is no error but what the load measures.
func Main(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	stdin = interruptible(stdin)
	d := json.NewDecoder(stdin)
	var s Spec
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("read the load's description from standard input: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		defer cancel()
		// Reading on ends at EOF or when Main closes stdin.
		_, _ = io.Copy(io.Discard, stdin)
	}()
	err := serve(ctx, s, stdout)
	if c, ok := stdin.(io.Closer); ok {
		_ = c.Close()
		<-watch
	}
	return err
}

// interruptible makes a read of standard input end when it is closed: an
// inherited pipe is in blocking mode, in which Close would wait for the reader.
func interruptible(r io.Reader) io.Reader {
	f, ok := r.(*os.File)
	if !ok {
		return r
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return onlyReader{r}
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return onlyReader{r}
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// onlyReader hides Close: the watcher of such a reader ends with the process.
type onlyReader struct{ io.Reader }

// serve runs s between its writer and its bounds.
func serve(ctx context.Context, s Spec, stdout io.Writer) error {
	out := make(chan observe.Record, queue)
	written := make(chan error, 1)
	go func() { written <- write(stdout, out) }()
	a := newAgent(s, out)
	err := a.serve(ctx)
	if err != nil {
		a.emit(observe.KindBroken, observe.Note{Text: fmt.Sprintf("load %s (%s): %v", s.Name, s.Kind, err)})
	}
	close(out)
	return errors.Join(err, <-written)
}

// write drains records into w. After an error it keeps draining, so that the
// load never blocks on a reader that is gone.
func write(w io.Writer, records <-chan observe.Record) error {
	history := observe.NewWriter(w, 0)
	var first error
	for r := range records {
		if err := history.Append(r); err != nil && first == nil {
			first = fmt.Errorf("write records: %w", err)
		}
	}
	return first
}

// agent is what a load works with.
type agent struct {
	Spec
	out    chan<- observe.Record
	target target
	size   size
	late   lateness
	mu     sync.Mutex
	totals map[string]float64
}

func newAgent(s Spec, out chan<- observe.Record) *agent {
	if s.Epoch == 0 {
		s.Epoch = monotonic()
	}
	if s.Duration <= 0 {
		s.Duration = DefaultDuration
	}
	s.Duration = min(s.Duration, MaxDuration)
	return &agent{Spec: s, out: out, totals: make(map[string]float64)}
}

// serve checks the bounds and runs the load.
func (a *agent) serve(ctx context.Context) error {
	kind, ok := Kinds()[a.Kind]
	if !ok {
		return fmt.Errorf("unknown kind of load %q", a.Kind)
	}
	if err := a.check(); err != nil {
		return err
	}
	if err := a.resolve(kind); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.Duration)
	defer cancel()
	return kind.run(ctx, a)
}

func (a *agent) check() error {
	if a.To != "" || a.Kind != "burn" {
		t, err := parseTarget(a.To)
		if err != nil {
			return err
		}
		a.target = t
	}
	if len(a.Sources) > MaxClients {
		return fmt.Errorf("%d client addresses: use at most %d", len(a.Sources), MaxClients)
	}
	return nil
}

// flows is the number of flows.
func (a *agent) flows() int { return a.size.flows }

// rate is how many requests or packets per second each flow starts.
func (a *agent) rate() float64 { return a.size.rate }

// period is the time between two of them.
func (a *agent) period() time.Duration { return time.Duration(float64(time.Second) / a.size.rate) }

// timeout of one request, by default def.
func (a *agent) timeout(def time.Duration) time.Duration {
	if a.Timeout > 0 {
		return a.Timeout
	}
	return def
}

// source is the client address of flow i; empty means the kernel's choice.
func (a *agent) source(i int) string {
	if len(a.Sources) == 0 {
		return ""
	}
	return a.Sources[i%len(a.Sources)]
}

// now is the present time on the run's clock.
func (a *agent) now() time.Duration { return time.Duration(monotonic() - a.Epoch) }

// emit sends a record of this moment.
func (a *agent) emit(kind observe.Kind, v any) { a.emitAt(a.now(), kind, v) }

func (a *agent) emitAt(t time.Duration, kind observe.Kind, v any) {
	r, err := observe.New(t, kind, a.Name, v)
	if err != nil {
		// A value that JSON cannot hold (NaN) is a defect of the load: it must
		// not pass for a measurement.
		r = observe.Record{T: t, Kind: observe.KindBroken, Name: a.Name}
	}
	r.Node = a.From
	a.out <- r
}

// sample emits one value with the load's labels and those given.
func (a *agent) sample(metric string, value float64, unit string, labels map[string]string) {
	a.sampleAt(a.now(), observe.Sample{Metric: metric, Value: value, Unit: unit, Labels: labels})
}

func (a *agent) sampleAt(t time.Duration, s observe.Sample) {
	if len(a.Labels) > 0 {
		all := maps.Clone(a.Labels)
		maps.Copy(all, s.Labels)
		s.Labels = all
	}
	a.emitAt(t, observe.KindSample, s)
}

// measure emits the load's main result under Spec.Metric, by default def.
func (a *agent) measure(def string, value float64, unit string) {
	if a.Metric != "" {
		def = a.Metric
	}
	a.sample(def, value, unit, nil)
}

// add counts towards the load's totals.
func (a *agent) add(name string, n float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.totals[name] += n
}

// take returns the totals counted since the last call.
func (a *agent) take() map[string]float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.totals
	a.totals = make(map[string]float64)
	return t
}
