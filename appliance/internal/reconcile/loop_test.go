package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// fixture records the order of calls; everything runs in one bubble.
type fixture struct {
	calls  []string
	given  [][]plan.VIP // to the announcer, call by call
	fail   map[string]error
	inputs plan.Inputs
	alive  int
	failed map[string]error
}

func (f *fixture) actuator(name string) Actuator {
	return Actuator{name, func(_ context.Context, p plan.Plan) error {
		f.calls = append(f.calls, name)
		if name == "vip" {
			f.given = append(f.given, p.VIPs)
		}
		return f.fail[name]
	}}
}

func (f *fixture) loop() *Loop {
	return New(Options{
		Inputs:    func() plan.Inputs { f.inputs.Now = time.Now(); return f.inputs },
		Actuators: []Actuator{f.actuator("dataplane"), f.actuator("proxy"), f.actuator("vip")},
		Applied:   func(_ plan.Plan, failed map[string]error) { f.failed = failed },
		Alive:     func() { f.alive++ },
		Beat:      100 * time.Millisecond,
		Logger:    slog.New(slog.DiscardHandler),
	})
}

func start(t *testing.T, l *Loop) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	synctest.Wait()
}

func TestFirstPassInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{}
		start(t, f.loop())
		if want := []string{"dataplane", "proxy", "vip"}; !slices.Equal(f.calls, want) {
			t.Errorf("calls %v, want %v: what serves comes before what announces", f.calls, want)
		}
	})
}

func TestChangesCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{}
		l := f.loop()
		start(t, l)
		f.calls = nil
		for range 50 {
			l.Dirty()
		}
		synctest.Wait()
		// One pass may already be under way when the last change arrives.
		if n := len(f.calls) / 3; n < 1 || n > 2 {
			t.Errorf("50 changes at once cost %d passes, want 1 or 2", n)
		}
	})
}

func TestFailureIsRetriedAndOthersProceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{fail: map[string]error{"proxy": errors.New("address in use")}}
		start(t, f.loop())
		if f.failed["proxy"] == nil || len(f.calls) != 3 {
			t.Fatalf("failed %v after %v", f.failed, f.calls)
		}
		f.fail = nil
		<-time.After(time.Second)
		synctest.Wait()
		if len(f.failed) != 0 || len(f.calls) < 6 {
			t.Errorf("not retried: failed %v, calls %v", f.failed, f.calls)
		}
	})
}

func TestWakesForADrainDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := lb.RealID{Service: "s", Real: "r"}
		f := &fixture{inputs: plan.Inputs{
			Config:    lb.Config{Services: []lb.VirtualService{{Name: "s", Reals: []lb.RealServer{{Name: "r"}}}}},
			Health:    map[lb.RealID]bool{id: true},
			Overrides: map[lb.RealID]lb.Override{id: {State: lb.Drain, Deadline: time.Now().Add(time.Minute)}},
		}}
		start(t, f.loop())
		f.calls = nil
		<-time.After(59 * time.Second)
		if len(f.calls) != 0 {
			t.Errorf("woke early: %v", f.calls)
		}
		<-time.After(1200 * time.Millisecond)
		synctest.Wait()
		if len(f.calls) != 3 {
			t.Errorf("%d calls at the deadline, want one pass", len(f.calls))
		}
	})
}

func TestAliveStopsWhenAnActuatorHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{}
		l := f.loop()
		release := make(chan struct{})
		l.opts.Actuators = append(l.opts.Actuators, Actuator{"stuck", func(context.Context, plan.Plan) error {
			<-release
			return nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		<-time.After(time.Second)
		if f.alive != 0 {
			t.Errorf("the loop called itself alive %d times while stuck", f.alive)
		}
		close(release)
		<-time.After(time.Second)
		synctest.Wait()
		if f.alive < 9 {
			t.Errorf("alive %d times in a second of 100 ms beats", f.alive)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// services makes layer-4 services of these addresses on eth0 the input.
func (f *fixture) services(addrs ...string) {
	f.inputs.Config.Services = nil
	for _, a := range addrs {
		f.inputs.Config.Services = append(f.inputs.Config.Services,
			lb.VirtualService{Name: a, Addr: netip.MustParseAddr(a), Interface: "eth0", Layer: lb.Layer4})
	}
}

func vips(addrs ...string) []plan.VIP {
	var out []plan.VIP
	for _, a := range addrs {
		out = append(out, plan.VIP{Addr: netip.MustParseAddr(a), Interface: "eth0"})
	}
	return out
}

// last is what the announcer was given at the end, nil if it was never called.
func (f *fixture) last() []plan.VIP {
	if len(f.given) == 0 {
		return nil
	}
	return f.given[len(f.given)-1]
}

func TestNothingIsAnnouncedBeforeItIsServed(t *testing.T) {
	for _, broken := range []string{"dataplane", "proxy"} {
		t.Run(broken, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fixture{fail: map[string]error{broken: errors.New("no such device")}}
				f.services("10.0.0.1", "10.0.0.2")
				l := f.loop()
				start(t, l)
				<-time.After(10 * time.Second)
				synctest.Wait()
				if len(f.given) != 0 {
					t.Fatalf("announced %v, which nothing serves", f.given)
				}
				f.fail = nil
				<-time.After(10 * time.Second)
				synctest.Wait()
				if !slices.Equal(f.last(), vips("10.0.0.1", "10.0.0.2")) {
					t.Errorf("announced %v after the repair", f.last())
				}
				// A failure of later takes nothing back and lets nothing new in.
				f.fail = map[string]error{broken: errors.New("no memory")}
				f.services("10.0.0.2", "10.0.0.3")
				l.Dirty()
				synctest.Wait()
				if !slices.Equal(f.last(), vips("10.0.0.2")) {
					t.Errorf("announced %v while %s fails for new ones", f.last(), broken)
				}
			})
		})
	}
}

func TestUnservedAddressesAreWithheld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := &plan.UnservedError{Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Err: errors.New("too many services")}
		f := &fixture{fail: map[string]error{"dataplane": fmt.Errorf("program: %w", bad)}}
		f.services("10.0.0.1")
		l := f.loop()
		start(t, l)
		if len(f.given) != 0 {
			t.Fatalf("announced %v, of which nothing is served", f.given)
		}
		f.services("10.0.0.1", "10.0.0.2")
		l.Dirty()
		synctest.Wait()
		if !slices.Equal(f.last(), vips("10.0.0.2")) {
			t.Fatalf("announced %v, want the one that is served", f.last())
		}
		if !errors.Is(f.failed["dataplane"], bad.Err) {
			t.Errorf("reported %v", f.failed)
		}
		f.fail = nil
		l.Dirty()
		synctest.Wait()
		if !slices.Equal(f.last(), vips("10.0.0.1", "10.0.0.2")) {
			t.Fatalf("announced %v after the repair", f.last())
		}
		f.fail = map[string]error{"dataplane": bad}
		l.Dirty()
		synctest.Wait()
		if !slices.Equal(f.last(), vips("10.0.0.2")) {
			t.Errorf("announced %v although one is no longer served", f.last())
		}
	})
}

func TestWhatIsNoLongerWantedGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{}
		f.services("10.0.0.1", "10.0.0.2")
		l := f.loop()
		start(t, l)
		f.calls, f.given = nil, nil
		f.services("10.0.0.2", "10.0.0.3")
		l.Dirty()
		synctest.Wait()
		if want := []string{"vip", "dataplane", "proxy", "vip"}; !slices.Equal(f.calls[:4], want) {
			t.Errorf("calls %v, want %v", f.calls, want)
		}
		if !slices.Equal(f.given[0], vips("10.0.0.2")) || !slices.Equal(f.last(), vips("10.0.0.2", "10.0.0.3")) {
			t.Errorf("announced %v", f.given)
		}
	})
}
