package sentinel

import (
	"bytes"
	"errors"
	"math"
	"net"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/internal/vip"
	"github.com/vosbed/vosbed/appliance/lb"
)

// readMain takes all messages of the main daemon.
func (l *loop) readMain() error {
	buf := l.buf
	for {
		n, _, err := unix.Recvfrom(l.conn, buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			return nil
		case err != nil || n == 0:
			return errEnd
		}
		m, err := decode(buf[:n])
		if err != nil {
			l.note("ignored a message", err)
			continue
		}
		l.awake() // a freeze may be as short as the way from the last message to this
		if err := l.obey(m); err != nil {
			return err
		}
	}
}

func (l *loop) obey(m message) error {
	switch {
	case m.Configure != nil:
		return l.configure(*m.Configure)
	case l.machine == nil:
		return nil // nothing to do before the first configuration
	case m.Progress != 0:
		if m.Progress != l.progress {
			l.progress, l.progressAt = m.Progress, now()
		}
	case m.Synced != nil:
		l.step(ha.Synced{OK: *m.Synced}, now())
	case m.Flushed != nil && m.Flushed.ID == l.flush:
		l.step(ha.Flushed{OK: m.Flushed.OK}, now())
	case m.Command != nil:
		l.command(*m.Command)
	}
	return nil
}

func (l *loop) command(o order) {
	l.refused = ""
	switch o.Verb {
	case TakeOver:
		l.step(ha.TakeOver{}, now())
	case Release:
		l.step(ha.Release{}, now())
	case Announce:
		l.announce(now())
	default:
		l.refused = "unknown command " + string(o.Verb)
	}
	l.tell(message{Reply: &reply{ID: o.ID, Refused: l.refused}})
}

// announce repeats the announcements of an owner whose addresses somebody else
// claims or has claimed.
func (l *loop) announce(t time.Duration) {
	if !l.machine.Owns() || l.machine.Overslept(t) || !l.cfg.Cluster.Announce {
		l.refused = "this node does not own the addresses, or announcements are off"
		return
	}
	l.try("announce the virtual addresses", l.vips.Announce(t))
}

// configure adopts a configuration. Only what differs is reopened. What fails is
// noted and leaves the rest working: half a sentinel is better than none. But one that
// can neither be heard nor hear is a second owner: without a codec it ends.
func (l *loop) configure(c Config) error {
	if l.machine != nil && reflect.DeepEqual(c, l.cfg) {
		return nil
	}
	old := l.cfg
	voices := l.machine == nil || !slices.Equal(c.Node.Paths, old.Node.Paths) || !bytes.Equal(c.Secret, old.Secret) ||
		c.Node.Name != old.Node.Name || c.Cluster.Paired != old.Cluster.Paired
	if voices {
		if err := l.rekey(c); err != nil {
			l.note("take part in the pair", err)
			return err
		}
	}
	l.cfg = c
	if l.vips == nil {
		var err error
		if l.vips, err = vip.New(); err != nil {
			return err
		}
	}
	l.try("configure the virtual addresses", l.vips.Configure(c.VIPs))
	if c.LeaseDir != old.LeaseDir {
		l.lease = nil
	}
	l.try("open the lease", l.openedLease())
	if voices {
		l.try("open the heartbeat paths", l.reopenPaths())
	}
	if !slices.Equal(c.Node.PingNodes, old.Node.PingNodes) {
		l.try("open the ping sockets", l.reopenProber())
	}
	l.try("watch the service link", l.rewatch())
	if l.joins(old) {
		l.machine = nil
	}
	l.begin()
	return nil
}

// joins reports whether a node that served nothing gets a peer: it is as if it had just
// started, for the peer may be the owner of what both will serve.
func (l *loop) joins(old Config) bool {
	return l.machine != nil && l.cfg.Cluster.Paired && !old.Cluster.Paired && len(old.VIPs) == 0
}

// begin starts the machine, or tells a running one.
func (l *loop) begin() {
	// With no address there is nothing that a former life could have left in place.
	inPlace := l.machine == nil && len(l.cfg.VIPs) > 0 && l.inPlace()
	t := now()
	l.progressAt, l.nextReport, l.nextProbe = t, t, t
	if l.machine != nil {
		l.do(l.machine.Reconfigure(l.machineConfig(), t), t)
	} else {
		l.machine = ha.New(l.machineConfig())
		l.step(ha.Start{LeaseHeld: inPlace && l.leaseHeld(t)}, t)
	}
	l.step(ha.LeaseReady{OK: l.noLease == ""}, now())
	if l.carrier != nil {
		l.step(ha.ServiceLink{Up: l.carrier.up.Load()}, now())
	}
}

// leaseHeld: the kernel still serves for an earlier life of this daemon.
func (l *loop) leaseHeld(t time.Duration) bool {
	if l.lease == nil {
		return false
	}
	d := l.lease.Deadline()
	return d != math.MaxUint64 && d > uint64(t)
}

func (l *loop) machineConfig() ha.Config {
	n, c := l.cfg.Node, l.cfg.Cluster
	cfg := ha.Config{
		Node: n.Name, Seat: n.Seat, Paired: c.Paired, Pings: n.PingNodes, Timers: c.Timers,
		Failback: c.Failback, Lease: c.Lease, Announce: c.Announce,
	}
	for _, p := range n.Paths {
		cfg.Paths = append(cfg.Paths, p.Name)
	}
	return cfg
}

// inPlace: an address of an earlier life is still there. A node that was killed left
// all of them, one that handed them over none. One is enough: the list may have
// changed meanwhile.
func (l *loop) inPlace() bool {
	for _, v := range l.cfg.VIPs {
		link, err := net.InterfaceByName(v.Interface)
		if err != nil {
			continue
		}
		have, err := link.Addrs()
		if err != nil {
			continue
		}
		for _, a := range have {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(v.Addr.AsSlice()) {
				return true
			}
		}
	}
	return false
}

// openedLease makes sure that the lease is open if there should be one. The data
// plane may pin it later than the first configuration, so this is tried again and
// again. A pair's node without its lease does not serve: its kernel would drop
// everything.
func (l *loop) openedLease() error {
	l.noLease = ""
	if l.lease != nil || l.cfg.LeaseDir == "" || l.openLease == nil {
		return nil
	}
	lease, err := l.openLease(l.cfg.LeaseDir)
	if err != nil {
		if l.cfg.Cluster.Paired && l.cfg.Cluster.Lease {
			l.noLease, l.missing = err.Error(), true
		}
		return err
	}
	l.lease = lease
	if l.machine != nil && l.machine.Role() == lb.Standalone {
		l.renew(ha.Forever)
	}
	return nil
}

// reopen tries again what could not be opened: at a quick restart the sockets of the
// earlier sentinel may still be there, and a node without paths is a second owner.
func (l *loop) reopen(t time.Duration) {
	if !l.missing || t < l.nextOpen {
		return
	}
	l.nextOpen, l.missing = t+reopenEvery, false
	for i, p := range l.paths {
		if p != nil {
			continue
		}
		// The first failure was noted.
		var err error
		if l.paths[i], err = peer.OpenPath(l.cfg.Node.Paths[i]); err != nil {
			l.missing = true
		}
	}
	if l.prober == nil && len(l.cfg.Node.PingNodes) > 0 {
		l.missing = l.reopenProber() != nil || l.missing
	}
	_ = l.openedLease()
	l.step(ha.LeaseReady{OK: l.noLease == ""}, now())
	blind := l.carrier == nil
	l.missing = l.rewatch() != nil || l.missing
	if blind && l.carrier != nil {
		l.step(ha.ServiceLink{Up: l.carrier.up.Load()}, now())
	}
}

func (l *loop) reopenProber() error {
	var err error
	if l.prober != nil {
		err = l.prober.close()
		l.prober = nil
	}
	if len(l.cfg.Node.PingNodes) == 0 {
		return err
	}
	p, openErr := newProber(l.cfg.Node.PingNodes)
	l.prober = p
	l.missing = l.missing || openErr != nil
	return errors.Join(err, openErr)
}

func (l *loop) rewatch() error {
	var names []string
	for _, v := range l.cfg.VIPs {
		if !slices.Contains(names, v.Interface) {
			names = append(names, v.Interface)
		}
	}
	period := max(l.cfg.Cluster.Timers.Heartbeat, time.Millisecond)
	if l.carrier != nil && slices.Equal(names, l.carrier.names) && period == l.carrier.period {
		return nil
	}
	var err error
	if l.carrier != nil {
		err = l.carrier.close()
		l.carrier = nil
	}
	if len(names) == 0 {
		return err
	}
	c, openErr := watchCarrier(names, period, l.wake)
	l.carrier = c
	l.missing = l.missing || openErr != nil
	return errors.Join(err, openErr)
}
