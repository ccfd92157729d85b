// Package lease is the deadline that makes kernel state mortal (design decision 6).
// It is one word in a pinned, memory-mapped BPF array: a live daemon pushes it
// forward with one atomic store and no system call, the data-plane programs compare
// it with the clock. A killed or frozen daemon stops pushing, and the kernel stops
// speaking for the VIPs.
package lease

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Special deadlines.
const (
	// NotHeld is the value of a new lease.
	NotHeld uint64 = 0
	// Forever never expires: for a node without a peer.
	Forever uint64 = math.MaxUint64
)

const mapName = "lease"

// Lease is one open, mapped lease. Its methods may be called from any goroutine,
// except Close, which must be the last.
type Lease struct {
	m    *ebpf.Map
	mem  []byte
	word *uint64
}

// Create opens the lease pinned in dir or makes it, not held. With an empty dir
// it is not pinned and dies with its holders.
func Create(dir string) (*Lease, error) {
	if dir != "" {
		l, err := Open(dir)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return l, err
		}
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: mapName, Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
		Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return nil, fmt.Errorf("make the lease map: %w", err)
	}
	if dir != "" {
		if err := m.Pin(filepath.Join(dir, mapName)); err != nil {
			return nil, errors.Join(fmt.Errorf("pin the lease in %s (is it a bpffs?): %w", dir, err), m.Close())
		}
	}
	return mapped(m)
}

// Open maps the lease that a data plane has pinned in dir. The error wraps
// os.ErrNotExist when there is none.
func Open(dir string) (*Lease, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, mapName), nil)
	if err != nil {
		return nil, fmt.Errorf("open the lease in %s: %w", dir, err)
	}
	return mapped(m)
}

func mapped(m *ebpf.Map) (*Lease, error) {
	mem, err := unix.Mmap(m.FD(), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map the lease into memory: %w", err), m.Close())
	}
	return &Lease{m, mem, (*uint64)(unsafe.Pointer(&mem[0]))}, nil
}

// Map is the BPF map behind the lease, for the data plane's programs. It stays
// owned by the Lease.
func (l *Lease) Map() *ebpf.Map { return l.m }

// Renew sets the deadline, in CLOCK_MONOTONIC nanoseconds. One atomic store.
func (l *Lease) Renew(deadline uint64) { atomic.StoreUint64(l.word, deadline) }

// RenewFor sets the deadline to d from now. d <= 0 gives the lease up.
func (l *Lease) RenewFor(d time.Duration) error {
	if d <= 0 {
		l.Renew(NotHeld)
		return nil
	}
	now, err := Now()
	if err == nil {
		l.Renew(now + uint64(d))
	}
	return err
}

// Deadline returns what stands, whoever wrote it.
func (l *Lease) Deadline() uint64 { return atomic.LoadUint64(l.word) }

// Close unmaps the lease. Its value stays and runs out by itself.
func (l *Lease) Close() error {
	return errors.Join(unix.Munmap(l.mem), l.m.Close())
}

// Now is the clock of the deadline: CLOCK_MONOTONIC in nanoseconds.
func Now() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("read the monotonic clock: %w", err)
	}
	return uint64(ts.Nano()), nil
}
