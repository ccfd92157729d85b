package traffic

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
)

// Layout of MPEG-TS (ISO/IEC 13818-1 section 2.4.3).
const (
	tsSize  = 188
	tsSync  = 0x47
	tsNull  = 0x1fff
	tsBatch = 7 // packets read at a time, as many as travel in one datagram
)

// framePeriod is the period of simvos's live programme, 25 frames per second.
const framePeriod = 40 * time.Millisecond

// runTS receives MPEG-TS over TCP (port 61000) on Flows connections. Its metrics
// begin with "ts"; ts_lost counts packets that the continuity counters miss.
func runTS(ctx context.Context, a *agent) error {
	s := &stream{agent: a, name: "ts", period: framePeriod}
	s.play = func(ctx context.Context, w *watcher) error {
		return playTS(ctx, w, question{dialer: dialer{w.client}, to: a.target})
	}
	return s.run(ctx)
}

// playTS receives until the connection ends.
func playTS(ctx context.Context, w *watcher, q question) error {
	c, err := q.tcp(ctx, q.to.addr.String())
	if err != nil {
		return err
	}
	defer bounded(ctx, c)()
	d := demuxer{last: make(map[uint16]byte)}
	packet := make([]byte, tsSize)
	for {
		if _, err := io.ReadFull(c, packet); err != nil {
			return err
		}
		lost, err := d.packet(packet)
		if err != nil {
			return err
		}
		m, ok := d.marker()
		if !ok {
			if lost > 0 {
				w.arrived(tsSize, nil, lost)
			}
			continue
		}
		w.arrived(d.size, &m, lost)
		d.size = 0
	}
}

// demuxer checks continuity and finds markers in the payload of any PID.
type demuxer struct {
	last map[uint16]byte // PID: continuity counter
	tail []byte          // payload not yet searched
	pid  uint16          // that it belongs to
	size int
}

// packet takes one packet and returns how many are missing before it. A burst
// of a multiple of 16 packets of a PID goes unseen.
func (d *demuxer) packet(p []byte) (lost int, err error) {
	if p[0] != tsSync {
		return 0, fmt.Errorf("MPEG-TS out of step: packet starts with %#02x", p[0])
	}
	d.size += len(p)
	pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
	if pid == tsNull || p[3]&0x10 == 0 {
		return 0, nil
	}
	head := 4
	jump := false
	if p[3]&0x20 != 0 {
		head += 1 + int(p[4])
		jump = p[4] > 0 && p[5]&0x80 != 0
	}
	cc := p[3] & 0x0f
	if before, ok := d.last[pid]; ok && cc != before && !jump {
		lost = int(cc-before-1) & 0x0f
	}
	d.last[pid] = cc
	if head < len(p) {
		d.keep(pid, p[head:], p[1]&0x40 != 0)
	}
	return lost, nil
}

// keep appends payload for the search. A marker stands in the first packets of
// a unit, so older payload of another PID is not worth keeping.
func (d *demuxer) keep(pid uint16, payload []byte, start bool) {
	if pid != d.pid || start {
		d.tail, d.pid = d.tail[:0], pid
	}
	if len(d.tail) < 4*tsSize {
		d.tail = append(d.tail, payload...)
	}
}

// marker finds a whole marker in the payload kept, once.
func (d *demuxer) marker() (control.Marker, bool) {
	i := bytes.Index(d.tail, []byte(control.MarkerUUID))
	// The SEI message begins three bytes before: NAL header, type, size.
	const before, most = 3, len(control.MarkerUUID) + control.MarkerSize + 18
	if i < before || len(d.tail) < i+most {
		return control.Marker{}, false
	}
	m, ok := control.MarkerInNAL(d.tail[i-before : i+most])
	d.tail = d.tail[:0]
	return m, ok
}
