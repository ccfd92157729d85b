package traffic

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/simvos/control"
)

// Timing of sessions.
const (
	smallestStall = 100 * time.Millisecond // shorter silences are jitter
	retryEvery    = 200 * time.Millisecond
	sessionDead   = 10 * time.Second // silence after which a session is given up
	sessionStart  = 3 * time.Second  // time until the first data of a session
)

// stream is a load of long-lived sessions that start again when they die.
type stream struct {
	*agent
	name   string // prefix of its metrics
	period time.Duration
	// paced says that the flows send by plan, at turns of period.
	paced bool
	// play runs one session until it ends; a session that began well calls
	// watcher.arrived, or watcher.accepted if it only sends.
	play func(ctx context.Context, w *watcher) error
}

// watcher follows one flow of a stream over all its sessions. A zero watcher
// only notes the server.
type watcher struct {
	s      *stream
	flow   int
	client string
	seen   func() // called when a server has named itself

	turns   chan int64  // intended times of what the flow is to send next
	sending atomic.Bool // a session takes the turns
	missed  atomic.Int64

	mu       sync.Mutex
	up       bool // data has arrived in this session, or the server has accepted it
	ever     bool
	deaths   int
	last     time.Duration // arrival of the last data
	server   uint16
	frames   int
	bytes    int64
	lost     int
	written  int
	watchdog *time.Timer
}

// run plays all flows until ctx ends. Metrics, with the stream's name in front:
// _flows, _survival (share that never died), _stall_ms per stall, _died per
// death, _recovered_ms per recovery, _never (flows without any data), _lost,
// _frames, and _missed (turns to send that a flow was too late for).
//
// What a publisher writes says nothing of what arrives, which the server's ledger
// tells. Its _never and _survival are about sessions that the server accepted and
// did not end; it has _published per flow and no frames, losses or stalls.
func (s *stream) run(ctx context.Context) error {
	watchers := make([]*watcher, s.flows())
	var wg sync.WaitGroup
	for i := range watchers {
		w := &watcher{s: s, flow: i, client: s.source(i), turns: make(chan int64, backlog)}
		watchers[i] = w
		wg.Go(func() { w.loop(ctx) })
	}
	if s.paced {
		wg.Go(func() { s.drive(ctx, watchers) })
	}
	wg.Go(func() { every(ctx, 500*time.Millisecond, func() { s.report(watchers) }) })
	wg.Wait()
	s.finish(watchers)
	return nil
}

func (s *stream) report(watchers []*watcher) {
	open := 0
	for _, w := range watchers {
		w.mu.Lock()
		if w.up {
			open++
		}
		w.mu.Unlock()
	}
	v := s.take()
	v["open"] = float64(open)
	s.emit(observe.KindSeries, observe.Series{Interval: 500 * time.Millisecond, Values: v})
}

func (s *stream) finish(watchers []*watcher) {
	var lived, never, frames, lost int
	var missed int64
	for _, w := range watchers {
		if w.deaths == 0 && w.ever {
			lived++
		}
		if !w.ever {
			never++
		}
		frames += w.frames
		lost += w.lost
		missed += w.missed.Load()
	}
	n := float64(len(watchers))
	s.sample(s.name+"_survival", float64(lived)/n, "", nil)
	s.sample(s.name+"_never", float64(never), "", nil)
	if s.paced {
		s.sample(s.name+"_missed", float64(missed), "", nil)
	}
	if s.Publish {
		// Without a number of flows nobody derives stalls of 0 from silence.
		for _, w := range watchers {
			s.sample(s.name+"_published", float64(w.written), "", map[string]string{"client": w.client})
		}
		return
	}
	s.sample(s.name+observe.SuffixFlows, n, "", nil)
	s.sample(s.name+"_frames", float64(frames), "", nil)
	s.sample(s.name+"_lost", float64(lost), "", nil)
}

// loop plays sessions one after another.
func (w *watcher) loop(ctx context.Context) {
	for ctx.Err() == nil {
		session, cancel := context.WithCancel(ctx)
		w.mu.Lock()
		w.watchdog = time.AfterFunc(min(w.s.timeout(sessionDead), sessionStart), cancel)
		w.mu.Unlock()
		err := w.s.play(session, w)
		cancel()
		w.watchdog.Stop()
		if ctx.Err() != nil {
			break
		}
		w.died(err)
		if !wait(ctx, retryEvery) {
			break
		}
	}
	w.end()
}

// died notes the end of a session that had been up.
func (w *watcher) died(err error) {
	w.mu.Lock()
	was := w.up
	w.up = false
	if was {
		w.deaths++
	}
	w.mu.Unlock()
	if !was {
		w.s.add("refused", 1)
		return
	}
	flow := strconv.Itoa(w.flow)
	w.s.sample(w.s.name+observe.SuffixDied, 1, "", map[string]string{"flow": flow})
	w.s.emit(observe.KindEvent, observe.Note{Text: fmt.Sprintf("%s flow %s of %s ended: %v", w.s.name, flow, w.client, err)})
}

// end reports a stall that lasts on.
func (w *watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.s.now()
	if !w.ever || w.s.Publish {
		return
	}
	if hole := now - w.last - w.s.period; hole > max(3*w.s.period, smallestStall) {
		w.s.sample(w.s.name+observe.SuffixStall, hole.Seconds()*1000, "ms", nil)
	}
}

// arrived notes data, and who sent it if it says so. lost is how many packets
// are missing before it.
func (w *watcher) arrived(bytes int, m *control.Marker, lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.server
	changed := m != nil && m.Server != before
	if m != nil {
		w.server = m.Server
	}
	if w.s == nil {
		if w.server != 0 && w.seen != nil {
			w.seen()
		}
		return
	}
	w.watchdog.Reset(w.s.timeout(sessionDead))
	now := w.s.now()
	last := w.last
	w.silence(now)
	w.frames++
	w.bytes += int64(bytes)
	w.lost += lost
	w.up, w.ever, w.last = true, true, now
	w.s.add("frames", 1)
	w.s.add("bytes", float64(bytes))
	w.s.add("lost", float64(lost))
	if changed {
		n := served{client: w.client, service: w.s.name, server: w.server}
		if before != 0 {
			n.last = last
		}
		w.s.answeredBy(now, n)
	}
}

// accepted notes that the server takes what this flow sends.
func (w *watcher) accepted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up, w.ever = true, true
}

// wrote notes what the flow handed to the kernel.
func (w *watcher) wrote(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchdog.Reset(w.s.timeout(sessionDead))
	w.written++
	w.s.add("published", 1)
	w.s.add("bytes", float64(bytes))
}

// silence emits the hole that ends now; w.mu is held.
func (w *watcher) silence(now time.Duration) {
	hole := now - w.last - w.s.period
	if !w.ever || hole <= max(3*w.s.period, smallestStall) {
		return
	}
	ms := hole.Seconds() * 1000
	w.s.sampleAt(now, observe.Sample{Metric: w.s.name + observe.SuffixStall, Value: ms, Unit: "ms"})
	if !w.up {
		w.s.sampleAt(now, observe.Sample{Metric: w.s.name + "_recovered_ms", Value: ms, Unit: "ms"})
	}
}

// current is the server that named itself last.
func (w *watcher) current() uint16 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.server
}

// runStream keeps Flows TCP connections open and exchanges probe frames over
// each, Rate per second (default 50). Its metrics begin with "tcp".
func runStream(ctx context.Context, a *agent) error {
	s := &stream{agent: a, name: "tcp", period: a.period(), paced: true}
	s.play = s.exchangeFrames
	return s.run(ctx)
}

func (s *stream) exchangeFrames(ctx context.Context, w *watcher) error {
	c, err := dialer{w.client}.tcp(ctx, s.target.addr.String())
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer bounded(ctx, c)()
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { w.sendFrames(stop, c) })
	buf := make([]byte, control.ProbeReplySize)
	for want := uint64(1); ; want++ {
		if err := readFull(c, buf); err != nil {
			return err
		}
		r, err := control.DecodeProbeReply(buf)
		if err != nil {
			return err
		}
		w.arrived(len(buf), &r.Marker, int(r.Request.Seq-want))
		want = r.Request.Seq
	}
}

// sendFrames writes frames until the connection or ctx ends: its reader knows
// better why.
func (w *watcher) sendFrames(ctx context.Context, c net.Conn) {
	seq := uint64(0)
	_ = w.eachTurn(ctx, nil, func(due int64) error {
		seq++
		_, err := c.Write(control.ProbeRequest{Flow: uint32(w.flow), Seq: seq, Sent: due}.AppendTo(nil))
		return err
	})
}
