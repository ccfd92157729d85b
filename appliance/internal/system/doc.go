// Package system makes the machine what the configuration says of it (guide 14.1.1, Local
// Configuration): hostname, resolver, addresses (fixed and by DHCP), links, VLANs,
// bonds and routes, time zone and NTP servers. It also reads what the machine is, to be
// shown beside that.
//
// # Whose is what
//
// A part that is not configured is not ours and is never touched. Of a part that is, only
// what was made here is ever removed:
//
//   - Addresses and routes carry a mark in the kernel (IFA_PROTO, rtm_protocol), so the
//     next daemon knows them. What is there already by somebody else's hand is left to
//     them, and serves as well.
//   - VLANs and bonds that were made here bear our alias, and are removed. Members of such
//     a bond get their own MAC address, MTU and state back.
//   - What has one value only (hostname, files, MTU, link up or down) is remembered in the
//     state file before it is changed the first time, and put back when the part is no
//     longer configured, unless somebody else has changed it since.
//
// # In its own time
//
// [Actuator.Set] only notes the value; [Actuator.Run] applies it: a slow disk or chrony
// must not keep the reconcile loop, and with it the VIPs, waiting. The parts are
// independent: what fails is a problem of its part, and is tried again.
package system

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/dhcp"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Options say where things are. All but State may be left out.
type Options struct {
	// State is the file that remembers what was there before.
	State string
	// Etc holds hostname, resolv.conf, localtime and chrony; "" = /etc.
	Etc string
	// Zones is the tz database; "" = /usr/share/zoneinfo.
	Zones string
	// SetHostname tells the kernel; nil = sethostname(2).
	SetHostname func(name string) error
	// SetTime sets the kernel's clock, SetHardware the machine's; nil = they do.
	SetTime, SetHardware func(at time.Time) error
	// Reload makes chrony read its sources again; nil = chronyc.
	Reload func(ctx context.Context) error
	// Changed is called after the problems have changed; nil = nobody.
	Changed func()
	// Refuse tells why this node must not take an address by DHCP, "" = it may; nil = any.
	Refuse func(iface string, addr netip.Addr) string
	// Leased is called when an address by DHCP has come or gone, when those of the daemon
	// before are known, and again while it fails; nil = nobody.
	Leased func() error
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Etc == "" {
		o.Etc = "/etc"
	}
	if o.Zones == "" {
		o.Zones = "/usr/share/zoneinfo"
	}
	if o.SetHostname == nil {
		o.SetHostname = func(name string) error { return unix.Sethostname([]byte(name)) }
	}
	if o.SetTime == nil {
		o.SetTime = setTime
	}
	if o.SetHardware == nil {
		o.SetHardware = setHardware
	}
	if o.Reload == nil {
		o.Reload = chronyc
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Refuse == nil {
		o.Refuse = func(string, netip.Addr) string { return "" }
	}
	if o.Leased == nil {
		o.Leased = func() error { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) etc(name ...string) string {
	return filepath.Join(append([]string{o.Etc}, name...)...)
}

// Actuator applies settings to the machine.
type Actuator struct {
	opts  Options
	woken chan struct{} // capacity 1

	mu       sync.Mutex
	want     lb.System
	problems []string
	loans    map[string]loan // by DHCP, by interface

	// The rest belongs to Run.
	state   *state
	idle    bool // nothing is wanted, and nothing of ours is left
	renewed bool // chrony has not read its sources yet
	clients map[string]*client
	former  map[string]dhcp.Lease // of interfaces that are not to lease one now
	known   map[string]dhcp.Lease // as they are in their file
	untold  bool                  // of what is leased now
	ends    map[place]time.Time   // of leases, as the kernel knows them
}

// New returns an actuator that has not looked at anything.
func New(opts Options) *Actuator {
	return &Actuator{
		opts: opts.withDefaults(), woken: make(chan struct{}, 1),
		loans: map[string]loan{}, clients: map[string]*client{}, former: map[string]dhcp.Lease{}, ends: map[place]time.Time{},
	}
}

// Set notes what the machine is to be. It never waits.
func (a *Actuator) Set(want lb.System) {
	a.mu.Lock()
	a.want = want
	a.mu.Unlock()
	a.wake()
}

func (a *Actuator) wake() {
	select {
	case a.woken <- struct{}{}:
	default:
	}
}

// Problems are what could not be done, one sentence each with what to do.
func (a *Actuator) Problems() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.problems)
}

// Bounds of the time after which what failed is tried again.
const (
	retryFirst = time.Second
	retryMost  = time.Minute
)

// Run applies what is set, until ctx ends. It leaves the machine as it is.
func (a *Actuator) Run(ctx context.Context) error {
	defer a.Stop()
	wait := retryFirst
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.woken:
			wait = retryFirst
		case <-timer.C:
		}
		if a.Apply(ctx) {
			timer.Stop()
			continue
		}
		timer.Reset(wait)
		wait = min(2*wait, retryMost)
	}
}

// Apply does once what is set, and reports whether all of it is done. What is not is among
// the problems. Run calls it; it works on the network namespace of its thread.
func (a *Actuator) Apply(ctx context.Context) (done bool) {
	a.mu.Lock()
	want := a.want
	a.mu.Unlock()
	if a.idle && zero(want) {
		return true
	}
	p := &pass{Actuator: a, ctx: ctx, want: want}
	if p.open() {
		p.all()
	}
	p.troubles()
	a.idle = zero(want) && len(p.problems) == 0 && a.state.empty()
	a.tell(ctx, p.problems)
	return len(p.problems) == 0
}

// zero says whether nothing of the machine is ours. Graphing concerns lbd itself.
func zero(s lb.System) bool {
	return s.Hostname == "" && len(s.DNS.Servers) == 0 && len(s.Interfaces) == 0 && len(s.Routes) == 0 &&
		s.Clock.Zone == "" && len(s.Clock.Servers) == 0
}

func (a *Actuator) tell(ctx context.Context, problems []string) {
	a.mu.Lock()
	before := a.problems
	a.problems = problems
	a.mu.Unlock()
	if slices.Equal(before, problems) {
		return
	}
	for _, text := range problems {
		if !slices.Contains(before, text) {
			a.opts.Logger.WarnContext(ctx, "the machine is not as configured", "problem", text)
		}
	}
	if len(problems) == 0 {
		a.opts.Logger.InfoContext(ctx, "the machine is as configured")
	}
	a.opts.Changed()
}

// pass is one application.
type pass struct {
	*Actuator

	ctx      context.Context //nolint:containedctx // a pass is one call of Apply
	want     lb.System
	problems []string
}

// fail notes that a part could not be done.
func (p *pass) fail(part string, err error) {
	if err != nil {
		p.problems = append(p.problems, part+": "+err.Error())
	}
}

func (p *pass) open() bool {
	if p.state == nil {
		s, err := openState(p.opts.State)
		if err != nil {
			p.fail("local configuration", err)
			return false
		}
		p.state = s
	}
	return true
}

// all does every part. A hostname that is wrong keeps no address from the machine.
func (p *pass) all() {
	p.network()
	p.fail("DHCP", p.remembered())
	p.fail("hostname", p.hostname())
	p.fail("DNS", p.resolver())
	p.fail("time zone", p.zone())
	p.fail("NTP", p.ntp())
}
