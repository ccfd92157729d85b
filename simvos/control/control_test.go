package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var example = Marker{Server: 115, Epoch: 1730000000000, Counter: 42, Monotonic: 987654321}

func TestMarkerLayout(t *testing.T) {
	b := example.AppendTo(nil)
	want := []byte("VMRK\x01\x00\x00\x73\x00\x00\x01\x92\xcc\x09\x14\x00\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x00\x3a\xde\x68\xb1")
	if len(b) != MarkerSize || !bytes.Equal(b[:32], want) {
		t.Errorf("layout\n% x, want\n% x", b, want)
	}
	if got, err := DecodeMarker(b); err != nil || got != example {
		t.Errorf("got %+v, error %v", got, err)
	}
}

// TestMarkerDamage flips every bit: none may pass.
func TestMarkerDamage(t *testing.T) {
	for bit := range MarkerSize * 8 {
		b := example.AppendTo(nil)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := DecodeMarker(b); !errors.Is(err, ErrMarker) {
			t.Errorf("bit %d flipped: error %v, want %v", bit, err, ErrMarker)
		}
	}
}

func TestProbeRoundTrip(t *testing.T) {
	req := ProbeRequest{Flow: 7, Seq: 1 << 40, Sent: -5}
	wire := req.AppendTo(nil)
	reply := AppendProbeReply(nil, append(wire, "padding"...), example)
	if len(wire) != ProbeRequestSize || len(reply) != ProbeReplySize {
		t.Errorf("request of %d bytes, reply of %d", len(wire), len(reply))
	}
	want := ProbeReply{Request: req, Marker: example}
	if got, err := DecodeProbeReply(reply); err != nil || got != want {
		t.Errorf("got %+v, error %v, want %+v", got, err, want)
	}
	if got := want.AppendTo(nil); !bytes.Equal(got, reply) {
		t.Errorf("two ways to make a reply differ:\n% x\n% x", got, reply)
	}
	if _, err := DecodeProbeReply(reply[:ProbeReplySize-1]); !errors.Is(err, ErrProbe) {
		t.Errorf("short reply: %v", err)
	}
}

func TestProbeDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, ProbeReplySize)
	req := ProbeRequest{}.AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() {
		b := AppendProbeReply(buf, req, example)
		if _, err := DecodeProbeReply(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per reply", n)
	}
}

func TestBulkRequest(t *testing.T) {
	for _, want := range []BulkRequest{{Upload, 0}, {Download, 1 << 40}} {
		b := want.AppendTo(nil)
		if got, err := DecodeBulkRequest(b); err != nil || got != want || len(b) != BulkRequestSize {
			t.Errorf("got %+v, error %v, want %+v", got, err, want)
		}
	}
	for _, bad := range []string{"", "UPLOAD", "upload  12345678"} {
		if _, err := DecodeBulkRequest([]byte(bad)); !errors.Is(err, ErrBulk) {
			t.Errorf("%q: error %v, want %v", bad, err, ErrBulk)
		}
	}
}

func TestFaultBoard(t *testing.T) {
	var b FaultBoard
	changed := b.Changed()
	for _, f := range []Fault{
		{Kind: Refuse, Service: ServiceRTSP},
		{Kind: Slow, DelayMS: 1},
		{Kind: Slow, Service: ServiceHTTP, DelayMS: 2},
		{Kind: Slow, Service: ServiceHTTP, DelayMS: 3},
		{Kind: Unhealthy},
	} {
		if err := b.Set(f); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-changed:
	default:
		t.Error("a change woke nobody")
	}
	want := []Fault{
		{Kind: Refuse, Service: ServiceRTSP},
		{Kind: Slow, DelayMS: 1},
		{Kind: Slow, Service: ServiceHTTP, DelayMS: 3},
		{Kind: Unhealthy, Body: "Degraded"},
	}
	if diff := cmp.Diff(want, b.List()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b.Has(Refuse, ServiceRTMP) || !b.Has(Refuse, ServiceRTSP) {
		t.Error("refuse of one service does not hold for it alone")
	}
	if f, _ := b.Active(Slow, ServiceHTTP); f.DelayMS != 3 {
		t.Errorf("slow http: %+v, want its own fault", f)
	}
	if f, _ := b.Active(Slow, ServiceHTTPS); f.DelayMS != 1 {
		t.Errorf("slow https: %+v, want the fault for all", f)
	}
	b.Clear(Slow, Refuse)
	if diff := cmp.Diff(want[3:], b.List()); diff != "" {
		t.Errorf("after clearing two kinds (-want +got):\n%s", diff)
	}
	b.Clear()
	if len(b.List()) != 0 {
		t.Errorf("after clearing all: %v", b.List())
	}
}

// fakeNode is a node without services.
type fakeNode struct {
	status Status
	board  FaultBoard
}

func (n *fakeNode) Status() Status               { return n.status }
func (n *fakeNode) Faults() *FaultBoard          { return &n.board }
func (n *fakeNode) Settle(context.Context) error { return nil }

func TestClientAndServer(t *testing.T) {
	node := &fakeNode{status: Status{
		Name: "HT1", ID: 115, RIPs: []netip.Addr{netip.MustParseAddr("192.168.94.115")},
		Clients: map[netip.Addr]map[string]Counters{netip.MustParseAddr("fd00::1"): {ProtoRTSPRecord: {Sessions: 3, ReceivedPackets: 9}}},
	}}
	c := NewClient(serve(t, node))
	defer c.Close()
	ctx := t.Context()

	s, err := c.Status(ctx)
	if err != nil || s.Client(netip.MustParseAddr("fd00::1"), ProtoRTSPRecord).ReceivedPackets != 9 || s.RIPs[0] != node.status.RIPs[0] {
		t.Errorf("status %+v, error %v", s, err)
	}
	if err := c.SetFault(ctx, Fault{Kind: Hang}); err != nil || !node.board.Has(Hang, ServiceHTTPS) {
		t.Errorf("set: error %v", err)
	}
	if err := c.SetFault(ctx, Fault{Kind: "nonsense"}); err == nil {
		t.Error("a fault that does not exist was set")
	}
	if f, err := c.Faults(ctx); err != nil || len(f) != 1 || f[0].Kind != Hang {
		t.Errorf("faults %v, error %v", f, err)
	}
	if err := c.ClearFault(ctx, Slow); err != nil || !node.board.Has(Hang, "") {
		t.Errorf("clearing another kind: error %v, faults %v", err, node.board.List())
	}
	if err := c.ClearFault(ctx, "nonsense"); err == nil {
		t.Error("a kind that does not exist was cleared")
	}
	if err := c.ClearFaults(ctx); err != nil || node.board.Has(Hang, "") {
		t.Errorf("clear: error %v", err)
	}
	if _, err := NewClient(filepath.Join(t.TempDir(), "none")).Status(ctx); err == nil {
		t.Error("a status from nowhere")
	}
}

// serve runs the control handler on a unix socket until the test ends.
func serve(t *testing.T, n Node) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.sock")
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: NewHandler(n), ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return path
}

func FuzzDecodeMarker(f *testing.F) {
	f.Add(example.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMarker(b)
		if err == nil && !bytes.Equal(m.AppendTo(nil), b[:MarkerSize]) {
			t.Errorf("% x decodes to %+v, which encodes differently", b, m)
		}
		MarkerInNAL(b)
		MarkerInTS(b)
	})
}

func FuzzDecodeProbe(f *testing.F) {
	f.Add(ProbeReply{ProbeRequest{1, 2, 3}, example}.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeProbeRequest(b); err == nil && !bytes.Equal(r.AppendTo(nil), b[:ProbeRequestSize]) {
			t.Errorf("% x decodes to %+v, which encodes differently", b, r)
		}
		if r, err := DecodeProbeReply(b); err == nil && !bytes.Equal(r.AppendTo(nil), b[:ProbeReplySize]) {
			t.Errorf("% x decodes to %+v, which encodes differently", b, r)
		}
		if r, err := DecodeBulkRequest(b); err == nil && !bytes.Equal(r.AppendTo(nil), b[:BulkRequestSize]) {
			t.Errorf("% x decodes to %+v, which encodes differently", b, r)
		}
	})
}

func FuzzFault(f *testing.F) {
	f.Add([]byte(`{"kind":"slow","delay_ms":5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var fault Fault
		if json.Unmarshal(b, &fault) != nil {
			return
		}
		once, err := fault.Normalize()
		if err != nil {
			return
		}
		if twice, err := once.Normalize(); err != nil || twice != once {
			t.Errorf("%+v becomes %+v, error %v", once, twice, err)
		}
	})
}
