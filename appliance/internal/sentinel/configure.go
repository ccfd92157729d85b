package sentinel

import (
	"errors"
	"math"
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
	if !l.machine.Owns() || !l.cfg.Cluster.Announce {
		l.refused = "this node does not own the addresses, or announcements are off"
		return
	}
	l.try("announce the virtual addresses", l.vips.Announce(t))
}

// configure adopts a configuration. Only what differs is reopened. What fails is
// noted and leaves the rest working: half a sentinel is better than none.
func (l *loop) configure(c Config) error {
	if l.machine != nil && reflect.DeepEqual(c, l.cfg) {
		return nil
	}
	old := l.cfg
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
		l.try("open the lease", l.openedLease())
	}
	if l.machine == nil || !slices.Equal(c.Node.Paths, old.Node.Paths) || !reflect.DeepEqual(c.Secret, old.Secret) ||
		c.Node.Name != old.Node.Name || c.Cluster.Paired != old.Cluster.Paired {
		l.try("open the heartbeat paths", l.reopenPaths())
	}
	if !slices.Equal(c.Node.PingNodes, old.Node.PingNodes) {
		l.try("open the ping sockets", l.reopenProber())
	}
	l.try("watch the service link", l.rewatch())
	l.begin()
	return nil
}

// begin starts the machine, or tells a running one.
func (l *loop) begin() {
	t := now()
	l.progressAt, l.nextReport, l.nextProbe = t, t, t
	if l.machine != nil {
		l.do(l.machine.Reconfigure(l.machineConfig(), t), t)
	} else {
		l.machine = ha.New(l.machineConfig())
		l.step(ha.Start{LeaseHeld: l.leaseHeld(t)}, t)
	}
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

// openedLease makes sure that the lease is open if there should be one. The data
// plane may pin it later than the first configuration, so every report tries again.
func (l *loop) openedLease() error {
	if l.lease != nil || l.cfg.LeaseDir == "" || l.openLease == nil {
		return nil
	}
	lease, err := l.openLease(l.cfg.LeaseDir)
	if err != nil {
		return err
	}
	l.lease = lease
	if l.machine != nil && l.machine.Role() == lb.Standalone {
		l.renew(ha.Forever)
	}
	return nil
}

func (l *loop) reopenPaths() error {
	var errs []error
	for _, p := range l.paths {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	l.paths, l.codec = nil, nil
	paths := l.cfg.Node.Paths
	l.greeted, l.reject = make([]time.Duration, len(paths)), make([]uint64, len(paths))
	if !l.cfg.Cluster.Paired {
		return errors.Join(errs...)
	}
	codec, err := peer.NewCodec(l.cfg.Secret, l.cfg.Node.Name, len(paths))
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	l.codec = codec
	l.paths = make([]*peer.Path, len(paths)) // nil = could not be opened
	for i, p := range paths {
		l.paths[i], err = peer.OpenPath(p)
		errs = append(errs, err)
	}
	l.nextOpen = now() + reopenEvery
	l.missing = errors.Join(errs...) != nil
	return errors.Join(errs...)
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

// report sends the state to the main daemon.
func (l *loop) report(t time.Duration) {
	l.nextReport = t + reportEvery
	_ = l.openedLease() // the first failure was noted
	s := l.machine.Status(t)
	if s.Role != l.role || l.since.IsZero() {
		l.role, l.since = s.Role, time.Now()
	}
	s.Since = l.since
	s.RealTime = l.realTime == nil
	if l.realTime != nil {
		s.RealTimeNo = l.realTime.Error()
	}
	for i := range min(len(s.Paths), len(l.reject)) {
		s.Paths[i].Rejected = l.reject[i]
	}
	l.tell(message{State: &s})
}

func (l *loop) try(what string, err error) {
	if err != nil {
		l.note(what, err)
	}
}

func (l *loop) note(text string, err error) {
	n := &note{Text: text}
	if err != nil {
		n.Err = err.Error()
	}
	l.tell(message{Note: n})
}

// tell never waits: a main daemon that does not read loses words, not addresses.
func (l *loop) tell(m message) {
	b, err := encode(m)
	if err != nil {
		return
	}
	_ = unix.Sendto(l.conn, b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
}
