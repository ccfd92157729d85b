package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/simvos/control"
)

// responder answers probes on loopback, except for sequence numbers that drop
// wants lost; it closes when the test ends.
func responder(t *testing.T, server uint16, drop func(seq uint64) bool) string {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	roomy(t, conn)
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			req, err := control.DecodeProbeRequest(buf[:n])
			if err != nil || drop(req.Seq) {
				continue
			}
			reply := control.ProbeReply{Request: req, Marker: control.Marker{Server: server}}.AppendTo(nil)
			_, _ = conn.WriteToUDPAddrPort(reply, from)
		}
	}()
	return conn.LocalAddr().String()
}

// roomy lets a socket keep what comes while this process gets no processor.
func roomy(t *testing.T, conn *net.UDPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		// Without the right to it the default has to do.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	})
}

// runSpec runs the agent as the lab does and returns its records.
func runSpec(t *testing.T, s Spec) []observe.Record {
	t.Helper()
	in, hold := io.Pipe()
	var out bytes.Buffer
	sent := make(chan error, 1)
	go func() { sent <- json.NewEncoder(hold).Encode(s) }()
	if err := Main(t.Context(), in, &out); err != nil {
		t.Errorf("Main: %v", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	records, err := observe.Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// samples collects the values of samples by metric.
func samples(t *testing.T, records []observe.Record) map[string][]observe.Sample {
	t.Helper()
	out := map[string][]observe.Sample{}
	for _, r := range records {
		if r.Kind == observe.KindBroken {
			t.Errorf("broken: %s", r.Value)
		}
		if r.Kind == observe.KindSample {
			s, err := observe.Decode[observe.Sample](r)
			if err != nil {
				t.Fatal(err)
			}
			out[s.Metric] = append(out[s.Metric], s)
		}
	}
	return out
}

func value(t *testing.T, s map[string][]observe.Sample, metric string) float64 {
	t.Helper()
	if len(s[metric]) == 0 {
		t.Fatalf("no sample of %s", metric)
	}
	return s[metric][len(s[metric])-1].Value
}

// silentSpell drops requests from one number on, for at least so long.
type silentSpell struct {
	from    uint64
	length  time.Duration
	until   time.Time
	dropped atomic.Int64
}

func (s *silentSpell) drop(seq uint64) bool {
	if seq < s.from {
		return false
	}
	now := time.Now()
	if s.until.IsZero() {
		s.until = now.Add(s.length)
	}
	if now.Before(s.until) {
		s.dropped.Add(1)
		return true
	}
	return false
}

func TestProbeSeesAHole(t *testing.T) {
	spell := &silentSpell{from: 101, length: 100 * time.Millisecond}
	addr := responder(t, 165, spell.drop)
	begun := time.Now()
	records := runSpec(t, Spec{Name: "p", Kind: "udp-probe", To: addr, Rate: 500, Count: 1000, Timeout: longestGrace, Sources: []string{"127.0.0.7"}})
	s := samples(t, records)
	lost := int(spell.dropped.Load())
	if got := value(t, s, "probe_lost"); got != float64(lost) || lost == 0 {
		t.Errorf("lost %v, want the %d dropped", got, lost)
	}
	var gaps []observe.Gap
	series := 0
	for _, r := range records {
		if r.Kind == observe.KindSeries {
			series++
		}
		if r.Kind == observe.KindGap {
			g, err := observe.Decode[observe.Gap](r)
			if err != nil {
				t.Fatal(err)
			}
			if g.Lost > 0 {
				gaps = append(gaps, g)
			}
		}
	}
	if len(gaps) != 1 || gaps[0].Lost != lost || gaps[0].Before != 165 || gaps[0].After != 165 || gaps[0].Open {
		t.Fatalf("gaps with loss: %+v, want one of %d", gaps, lost)
	}
	if got := gaps[0].Outage; got < 90*time.Millisecond || got > time.Since(begun) {
		t.Errorf("outage %v, want about %s", got, spell.length)
	}
	if series < 6 {
		t.Errorf("%d series records, want at least 6", series)
	}
	cs := s[observe.MetricClientServer]
	if len(cs) != 1 || cs[0].Labels["client"] != "127.0.0.7" || cs[0].Value != 165 {
		t.Errorf("client_server: %+v", cs)
	}
	if len(s["probe_latency_us"]) != 5 {
		t.Errorf("latency percentiles: %+v", s["probe_latency_us"])
	}
}

func TestProbeReportsOpenGap(t *testing.T) {
	addr := responder(t, 1, func(seq uint64) bool { return seq > 50 })
	records := runSpec(t, Spec{Name: "p", Kind: "udp-probe", To: addr, Rate: 500, Count: 1000, Timeout: longestGrace})
	last := observe.Gap{}
	for _, r := range records {
		if r.Kind == observe.KindGap {
			last, _ = observe.Decode[observe.Gap](r)
		}
	}
	if !last.Open || last.Lost != 950 {
		t.Errorf("last gap %+v, want it open with 950 lost", last)
	}
}

func TestAgentEndsWithItsParent(t *testing.T) {
	addr := responder(t, 1, func(uint64) bool { return false })
	spec, err := json.Marshal(Spec{Name: "p", Kind: "udp-probe", To: addr, Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out bytes.Buffer
	// The reader ends right after the Spec, as when the parent has died.
	if err := Main(ctx, bytes.NewReader(spec), &out); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Error("the agent ran on without its parent")
	}
}

func TestSequenceWindow(t *testing.T) {
	f := &probeFlow{}
	steps := []struct {
		seq  uint64
		want int
	}{
		{1, seqAhead},
		{3, seqAhead},
		{2, seqLate},
		{2, seqDuplicate},
		{3, seqDuplicate},
		{3 + seqWindow, seqAhead},
		{3, seqDuplicate},
		{4, seqLate},
		{2 + seqWindow, seqLate},
		{10 * seqWindow, seqAhead},
		{9*seqWindow + 1, seqLate},
		{0, seqDuplicate},
		{^uint64(0) - 3, seqDuplicate},
	}
	for _, s := range steps {
		if got := f.mark(s.seq); got != s.want {
			t.Errorf("mark(%d) = %d, want %d", s.seq, got, s.want)
		}
		f.highest = max(f.highest, s.seq&(1<<40-1))
	}
}

func TestPacerKeepsAbsoluteDeadlines(t *testing.T) {
	p := pacer{start: monotonic(), rate: 200, count: 41}
	var last int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run(t.Context(), func(_ int, due int64) { last = due })
	}()
	<-done
	if got := time.Duration(last - p.start); got != 200*time.Millisecond {
		t.Errorf("the last tick was due after %v, want 200ms", got)
	}
	if early := last - monotonic(); early > 0 {
		t.Errorf("the last tick ran %dns early", early)
	}
}

func FuzzArrivalStamp(f *testing.F) {
	f.Add(make([]byte, 32))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := arrivalStamp(b); ok && len(b) < 32 {
			t.Error("a stamp from a short message")
		}
	})
}
