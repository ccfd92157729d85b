package sentinel

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/internal/vip"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Leaser is the deadline up to which the kernel may serve: nanoseconds of
// CLOCK_MONOTONIC, 0 = not held, MaxUint64 = not needed.
type Leaser interface {
	Renew(deadline uint64)
	Deadline() uint64
}

// perTurn bounds what one socket may take of a turn: a flood of datagrams must not
// keep the heartbeats of this node from leaving.
const perTurn = 64

// reopenEvery is the period of tries to open what could not be opened.
const reopenEvery = 50 * time.Millisecond

// reportEvery is the period of state reports without a change.
const reportEvery = time.Second

// loop is the sentinel's one thread. Everything below runs on it.
type loop struct {
	conn      int
	wake      int // eventfd of the carrier goroutine
	openLease func(dir string) (Leaser, error)
	realTime  error

	cfg     Config
	machine *ha.Machine // nil before the first configure
	codec   *peer.Codec
	// former is the codec of the secret before this one, nil = none: see rekey.
	former       *peer.Codec
	formerSecret []byte
	agreed       bool // the peer was heard by the present secret
	paths        []*peer.Path
	greeted      []time.Duration // when a greeting last left, per path
	reject       []rejects
	vips         *vip.Actuator
	prober       *prober
	carrier      *carrier
	lease        Leaser
	noLease      string // why the lease is not open, "" = it is, or is not wanted

	since      time.Time // of the role
	role       lb.Role
	progress   uint64
	progressAt time.Duration
	stalled    bool
	nextProbe  time.Duration
	nextReport time.Duration
	refused    string
	flush      uint64 // the latest request to bring the peer up to date

	asleep   time.Duration // how long the machine has been suspended in all, at most
	nextOpen time.Duration // when to try again what could not be opened
	missing  bool

	fds  []unix.PollFd
	buf  []byte
	beat [peer.HeartbeatLen]byte
}

// now is CLOCK_MONOTONIC, the clock of the lease.
func now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("no monotonic clock: " + err.Error())
	}
	return time.Duration(ts.Nano())
}

// slept reports whether the machine was suspended since the last call: the clock of
// the lease stood still, CLOCK_BOOTTIME did not. The clock of the lease is read last,
// so that a delay between the readings cannot look like sleep.
func (l *loop) slept() bool {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return false
	}
	return l.sleptBy(time.Duration(ts.Nano()), now())
}

func (l *loop) sleptBy(boot, mono time.Duration) bool {
	const least = time.Millisecond
	asleep := boot - mono
	fell := l.asleep != 0 && asleep > l.asleep+least
	if l.asleep == 0 || fell {
		l.asleep = asleep + least // the reading may have been late
	}
	return fell
}

// errEnd says that the main daemon is gone.
var errEnd = errors.New("the main daemon is gone")

// run turns until the main daemon is gone.
func (l *loop) run() error {
	for {
		if err := l.wait(); err != nil {
			return err
		}
		err := l.turn()
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wait polls everything until the next time that matters.
func (l *loop) wait() error {
	l.fds = append(l.fds[:0], pollIn(l.conn), pollIn(l.wake))
	for _, p := range l.paths {
		if p != nil {
			l.fds = append(l.fds, pollIn(p.Fd()))
		}
	}
	if l.prober != nil {
		l.fds = append(l.fds, pollIn(l.prober.fd4), pollIn(l.prober.fd6))
	}
	pause := max(0, l.next()-now())
	ts := unix.NsecToTimespec(int64(min(pause, time.Second)))
	_, err := unix.Ppoll(l.fds, &ts, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}

func pollIn(fd int) unix.PollFd { return unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} }

func (l *loop) next() time.Duration {
	if l.machine == nil {
		return ha.Forever
	}
	at := min(l.machine.Wake(), l.nextReport, l.vips.NextAnnouncement())
	if l.missing {
		at = min(at, l.nextOpen)
	}
	if l.prober != nil {
		at = min(at, l.nextProbe)
	}
	if l.cfg.Cluster.Paired && !l.stalled {
		at = min(at, l.progressAt+l.cfg.stallTimeout())
	}
	return at
}

// turn handles all that has happened: sockets first, so that time is judged with
// everything known.
func (l *loop) turn() error {
	l.awake()
	if err := l.readMain(); err != nil {
		return err
	}
	if l.machine == nil {
		return nil
	}
	for i, p := range l.paths {
		if p != nil {
			l.readPath(i)
		}
	}
	l.readPings()
	l.readCarrier()
	l.checkMain()
	t := now()
	if t >= l.machine.Wake() {
		l.step(ha.Tick{}, t)
	}
	l.probe(t)
	l.reopen(t)
	l.fire(t)
	if t >= l.nextReport {
		l.report(t)
	}
	return nil
}

// awake lets the machine notice first of all that this process was frozen, or the
// whole node suspended: what waits in the sockets, and what the machine last said, is
// from before. Apart from that time is judged after the sockets.
func (l *loop) awake() {
	if l.machine == nil {
		return
	}
	switch t := now(); {
	case l.slept():
		l.step(ha.Slept{}, t)
	case l.machine.Overslept(t):
		l.step(ha.Tick{}, t)
	}
}

// fire sends the announcements that are due, but for a node that may have been frozen
// since it decided them.
func (l *loop) fire(t time.Duration) {
	if !l.machine.Overslept(now()) {
		l.try("announce", l.vips.Fire(t))
	}
}

func (l *loop) readPings() {
	if l.prober == nil {
		return
	}
	for _, fd := range [...]int{l.prober.fd4, l.prober.fd6} {
		if fd < 0 {
			continue
		}
		for range perTurn {
			addr, ok := l.prober.recv(fd, l.buf)
			if !ok {
				break
			}
			if addr.IsValid() {
				l.step(ha.PingResult{Addr: addr, OK: true}, now())
			}
		}
	}
}

func (l *loop) readCarrier() {
	var b [8]byte
	if _, err := unix.Read(l.wake, b[:]); err != nil || l.carrier == nil {
		return
	}
	up := l.carrier.up.Load()
	t := now()
	l.step(ha.ServiceLink{Up: up}, t)
	if up && l.machine.Owns() {
		l.reassert(t)
	}
}

// reassert puts the addresses back after the link was away: the kernel drops IPv6
// addresses with it, and neighbours may have forgotten.
func (l *loop) reassert(t time.Duration) {
	if l.machine.Overslept(now()) {
		return
	}
	l.try("take the virtual addresses again", l.vips.Take())
	if l.cfg.Cluster.Announce {
		l.try("announce the virtual addresses", l.vips.Announce(t))
	}
}

func (l *loop) probe(t time.Duration) {
	if l.prober == nil || t < l.nextProbe {
		return
	}
	l.nextProbe = max(l.nextProbe, t-l.cfg.Cluster.Timers.Heartbeat/2) + l.cfg.Cluster.Timers.Heartbeat
	l.prober.probe()
}

// checkMain falls silent when the main daemon makes no progress.
func (l *loop) checkMain() {
	t := now()
	late := t-l.progressAt >= l.cfg.stallTimeout()
	if !l.cfg.Cluster.Paired || late == l.stalled {
		return
	}
	if l.stalled = late; late {
		l.step(ha.MainStalled{}, t)
		return
	}
	l.step(ha.MainAlive{}, t)
}

// step feeds the machine and does what it says, in order.
func (l *loop) step(e ha.Event, t time.Duration) {
	l.do(l.machine.Step(e, t), t)
}

func (l *loop) do(actions []ha.Action, t time.Duration) {
	for _, a := range actions {
		if !l.tooLate(a.Do, t, now()) {
			l.act(a, t)
		}
	}
}

// tooLate reports whether this process was frozen between a decision of t and the
// deed: what claims the addresses is not done then. The next step notices the
// freeze and lets go.
func (l *loop) tooLate(do ha.Verb, t, at time.Duration) bool {
	if !l.cfg.Cluster.Paired || at-t <= l.machine.Trust() {
		return false
	}
	return do == ha.TakeVIPs || do == ha.Announce || do == ha.SendHeartbeat
}

func (l *loop) act(a ha.Action, t time.Duration) {
	switch a.Do {
	case ha.SendHeartbeat:
		l.send(a.State)
	case ha.RenewLease:
		l.renew(a.Deadline)
	case ha.DropLease:
		l.renew(0)
	case ha.TakeVIPs:
		l.try("take the virtual addresses", l.vips.Take())
	case ha.ReleaseVIPs:
		l.try("release the virtual addresses", l.vips.Release())
	case ha.Announce:
		l.try("announce the virtual addresses", l.vips.Announce(t))
	case ha.Log:
		l.note(a.Reason, nil)
	case ha.Refuse:
		l.refused = a.Reason
	case ha.Flush:
		l.flush++
		l.tell(message{Flush: &flush{ID: l.flush, Within: (a.Deadline - t) * flushShare / 100}})
	case ha.StateChanged:
		l.report(t)
	}
}

func (l *loop) renew(deadline time.Duration) {
	if l.lease == nil {
		return
	}
	if deadline == ha.Forever {
		l.lease.Renew(math.MaxUint64)
		return
	}
	l.lease.Renew(uint64(deadline))
}
