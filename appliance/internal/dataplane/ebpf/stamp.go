package ebpf

import (
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"
)

// A stamp is the low part of jiffies shifted by stampShift, with flags below: one
// nanosecond to read in the program where a clock costs twenty. See consts.h.
const (
	stampShift   = 2
	stampClosing = 1
	stampLoose   = 2
	stampFlags   = 3
	// stampImported is a flag of persistence entries alone.
	stampImported = 1
	// farthest is the greatest span that stamps are used for: half their period.
	farthest = math.MaxInt32
)

// now reads the stamp clock.
func (p *Plane) now() (uint32, error) {
	ret, err := p.objs.Clock.Run(&ebpf.RunOptions{Data: make([]byte, 14)})
	if err != nil {
		return 0, fmt.Errorf("read the kernel's tick counter: %w", err)
	}
	return ret << stampShift, nil
}

// stamps converts a span to stamp units.
func (p *Plane) stamps(d time.Duration) uint32 {
	s := d.Seconds() * float64(p.hz<<stampShift)
	return uint32(min(max(s, 0), farthest))
}

// idle is the age of a stamp.
func (p *Plane) idle(now, stamp uint32) time.Duration {
	age := now - stamp&^stampFlags
	if age > 1<<31 {
		age = 0 // touched since now was read
	}
	return time.Duration(float64(age) / float64(p.hz<<stampShift) * float64(time.Second))
}
