// Package identity makes the markers of one node.
package identity

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/simvos/control"
)

// Identity is who a node is. It is immutable and safe for concurrent use.
type Identity struct {
	Name   string
	ID     uint16
	Epoch  uint64
	start  time.Time
	uptime int64
}

// New returns the identity of a node that starts at now.
func New(name string, id uint16, now time.Time) (*Identity, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return nil, fmt.Errorf("read the monotonic clock: %w", err)
	}
	return &Identity{Name: name, ID: id, Epoch: uint64(now.UnixMilli()), start: now, uptime: ts.Nano()}, nil
}

// Marker returns the marker with that counter at this moment. The clock is read
// without a system call.
func (i *Identity) Marker(counter uint64) control.Marker {
	return control.Marker{Server: i.ID, Epoch: i.Epoch, Counter: counter, Monotonic: i.uptime + int64(time.Since(i.start))}
}

// Uptime is the time since the node's start.
func (i *Identity) Uptime() time.Duration { return time.Since(i.start) }
