package media

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/simvos/control"
)

// TestSPS reads the parameter set with an independent parser.
func TestSPS(t *testing.T) {
	var sps h264.SPS
	if err := sps.Unmarshal(SPS()); err != nil {
		t.Fatal(err)
	}
	if sps.Width() != Width || sps.Height() != Height || sps.FPS() != Rate || sps.ProfileIdc != 66 {
		t.Errorf("%d x %d, %v frames per second, profile %d", sps.Width(), sps.Height(), sps.FPS(), sps.ProfileIdc)
	}
}

func TestExpGolomb(t *testing.T) {
	for _, tt := range []struct {
		v    uint32
		want []byte
	}{
		{0, []byte{0x80}},
		{1, []byte{0x40}},
		{2, []byte{0x60}},
		{7, []byte{0x10}},
		{25, []byte{0x0d, 0}},
	} {
		var w bitWriter
		w.ue(tt.v)
		if !bytes.Equal(w.b, tt.want) {
			t.Errorf("ue(%d) is % x, want % x", tt.v, w.b, tt.want)
		}
	}
}

// TestMarkerSurvivesNAL uses markers full of zeros, which need emulation
// prevention.
func TestMarkerSurvivesNAL(t *testing.T) {
	for _, m := range []control.Marker{{}, {Server: 1}, {Counter: 1 << 40}, {Server: 115, Epoch: 1, Counter: 3, Monotonic: 256}} {
		n := markerSEI(m)
		if bytes.Contains(n, []byte{0, 0, 0}) || bytes.Contains(n, []byte{0, 0, 1}) {
			t.Errorf("a start code in % x", n)
		}
		got, ok := control.MarkerInNAL(n)
		if !ok || got != m {
			t.Errorf("got %+v (%t), want %+v", got, ok, m)
		}
	}
	if _, ok := control.MarkerInNAL(SPS()); ok {
		t.Error("found a marker in a parameter set")
	}
}

// TestPacketize puts fragments together again.
func TestPacketize(t *testing.T) {
	for _, size := range []int{1, 2, maxRTPPayload, maxRTPPayload + 1, 2*(maxRTPPayload-2) + 1, 12345} {
		n := bytes.Repeat([]byte{0x65}, size)
		var got []byte
		for i, p := range packetize([][]byte{n}) {
			switch {
			case len(p) > maxRTPPayload:
				t.Errorf("size %d: a payload of %d bytes", size, len(p))
			case p[0]&0x1f != fuA || size <= maxRTPPayload:
				got = append(got, p...)
			case i == 0:
				got = append(got, p[0]&0x60|p[1]&0x1f)
				got = append(got, p[2:]...)
			default:
				got = append(got, p[2:]...)
			}
		}
		if !bytes.Equal(got, n) {
			t.Errorf("size %d: %d bytes come out, first %#x", size, len(got), got[0])
		}
	}
}

// clock makes markers from the time of the test.
type clock struct{ start time.Time }

func (c clock) Marker(n uint64) control.Marker { return control.Marker{Server: 7, Counter: n} }
func (c clock) Uptime() time.Duration          { return time.Since(c.start) }

type noTS struct{}

func (noTS) Mux(*Frame, control.Marker) []byte { return nil }

func TestSourceKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NewSource(clock{time.Now()}, noTS{})
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()

		<-time.After(130 * time.Millisecond)
		next := s.NextKey()
		v := s.Watch()
		var counters []uint64
		for range 15 {
			f := <-v.C
			counters = append(counters, f.Counter)
			if f.Key != (f.Counter%GOP == 0) {
				t.Errorf("frame %d, key %t", f.Counter, f.Key)
			}
			if late := time.Since(s.marks.(clock).start) - f.PTS(); late != 0 {
				t.Errorf("frame %d is %s late", f.Counter, late)
			}
		}
		var want []uint64
		for i := range uint64(15) {
			want = append(want, next+i)
		}
		if diff := cmp.Diff(want, counters); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
		v.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestSlowViewer falls behind and goes on with a key frame.
func TestSlowViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NewSource(clock{time.Now()}, noTS{})
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		v := s.Watch()
		<-time.After(10 * time.Second)
		for range queueLen {
			<-v.C
		}
		if f := <-v.C; !f.Key {
			t.Errorf("goes on with frame %d, which is no key frame", f.Counter)
		}
		v.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
