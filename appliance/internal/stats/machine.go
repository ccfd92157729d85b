package stats

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
)

// Machine reads this machine: the counters of all network cards but the loopback
// (rtnetlink(7)), /proc/loadavg and /proc/meminfo (proc(5)).
func Machine() Source {
	return func() (Sample, error) {
		var s Sample
		err := errors.Join(s.network(), s.load(), s.memory())
		return s, err
	}
}

func (s *Sample) network() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the network cards: %w", err)
	}
	for _, l := range links {
		if a := l.Attrs(); a.Name != "lo" && a.Statistics != nil {
			s.RX += a.Statistics.RxBytes
			s.TX += a.Statistics.TxBytes
		}
	}
	return nil
}

func (s *Sample) load() error {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(string(text), &s.Load1, &s.Load5, &s.Load15); err != nil {
		return fmt.Errorf("read /proc/loadavg: %w", err)
	}
	return nil
}

func (s *Sample) memory() error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	total, errTotal := kilobytes(text, "MemTotal:")
	free, errFree := kilobytes(text, "MemAvailable:")
	if err := errors.Join(errTotal, errFree); err != nil {
		return err
	}
	s.Memory = (total - min(free, total)) << 10
	return nil
}

// kilobytes reads one line of /proc/meminfo.
func kilobytes(text []byte, key string) (uint64, error) {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(key))
		if !ok {
			continue
		}
		var n uint64
		if _, err := fmt.Sscan(string(rest), &n); err != nil {
			return 0, fmt.Errorf("read %s of /proc/meminfo: %w", key, err)
		}
		return n, nil
	}
	return 0, fmt.Errorf("/proc/meminfo has no %s", key)
}
