package media

import (
	"context"
	"sync"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
)

// queueLen is the number of frames that a slow viewer may be behind: 2 s.
const queueLen = 2 * Rate

// FramePeriod is the time from one frame to the next.
const FramePeriod = time.Second / Rate

// Frame is one access unit, made once and shared by all viewers: nobody
// changes it.
type Frame struct {
	// Counter is the number of the frame since the node's start, also in the
	// marker. The time stamp follows from it.
	Counter uint64
	Key     bool
	// NALs are the units of the frame without start codes; a key frame begins
	// with SPS and PPS.
	NALs [][]byte
	// RTP are the payloads of the frame's RTP packets.
	RTP [][]byte
	// TS is the frame as whole packets of a transport stream.
	TS []byte
}

// Ticks is the frame's time stamp at 90 kHz.
func (f *Frame) Ticks() uint64 { return f.Counter * FrameTicks }

// PTS is the frame's time stamp since the node's start.
func (f *Frame) PTS() time.Duration { return time.Duration(f.Counter) * FramePeriod }

// Marks makes markers; identity.Identity does.
type Marks interface {
	Marker(counter uint64) control.Marker
	Uptime() time.Duration
}

// Muxer turns the frames of one source, in order, into a transport stream.
type Muxer interface {
	Mux(f *Frame, m control.Marker) []byte
}

// Source is the live programme of a node. It makes frames only while somebody
// watches; their counter follows the clock all the same.
type Source struct {
	marks Marks
	mux   Muxer

	mu    sync.Mutex
	views map[*View]struct{}
	wake  chan struct{}
}

// NewSource returns a source that Run must drive.
func NewSource(m Marks, mux Muxer) *Source {
	return &Source{marks: m, mux: mux, views: make(map[*View]struct{}), wake: make(chan struct{}, 1)}
}

// View is one viewer's queue of frames.
type View struct {
	// C delivers frames, from a key frame on. A viewer that is 2 s behind
	// misses all frames up to a later key frame.
	C       chan *Frame
	source  *Source
	started bool
}

// Watch adds a viewer. Its first frame is the next key frame.
func (s *Source) Watch() *View {
	v := &View{C: make(chan *Frame, queueLen), source: s}
	s.mu.Lock()
	s.views[v] = struct{}{}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return v
}

// Close ends the view. C is not closed.
func (v *View) Close() {
	v.source.mu.Lock()
	delete(v.source.views, v)
	v.source.mu.Unlock()
}

// NextKey is the counter of the first frame of a viewer who comes now.
func (s *Source) NextKey() uint64 {
	next := uint64(s.marks.Uptime()/FramePeriod) + 1
	return (next + GOP - 1) / GOP * GOP
}

// Run makes frames until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil
		}
		if !s.broadcast(ctx) {
			return nil
		}
	}
}

// broadcast makes frames at their times until nobody watches; false when ctx
// ended. Times are absolute, so lateness does not add up.
func (s *Source) broadcast(ctx context.Context) bool {
	t := time.NewTimer(0)
	defer t.Stop()
	for n := uint64(s.marks.Uptime()/FramePeriod) + 1; ; n++ {
		t.Reset(time.Duration(n)*FramePeriod - s.marks.Uptime())
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
		if !s.deliver(s.frame(n)) {
			return true
		}
	}
}

// deliver hands f to every viewer; false when there is none.
func (s *Source) deliver(f *Frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.views {
		v.offer(f)
	}
	return len(s.views) > 0
}

// offer queues the frame unless the viewer waits for a key frame.
func (v *View) offer(f *Frame) {
	if !v.started && !f.Key {
		return
	}
	select {
	case v.C <- f:
		v.started = true
	default:
		v.started = false
	}
}

// frame makes the frame with that counter.
func (s *Source) frame(n uint64) *Frame {
	m := s.marks.Marker(n)
	f := &Frame{Counter: n, Key: n%GOP == 0}
	if f.Key {
		code := uint32(m.Server)<<16 | uint32(n&0xffff)
		f.NALs = [][]byte{SPS(), PPS(), markerSEI(m), keyFrame(uint32(n/GOP&1), code)}
	} else {
		f.NALs = [][]byte{markerSEI(m), repeatFrame(uint32(n % GOP))}
	}
	f.RTP = packetize(f.NALs)
	f.TS = s.mux.Mux(f, m)
	return f
}
