package matrix_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/images/vm"
	"github.com/vosbed/vosbed/internal/testenv"
)

// site is a machine with a disk of its own in the guide's network.
type site struct {
	*lan

	options vm.Options
	v       *vm.VM
	port    int // of loopback, leads to its WebUI
	inside  bool
}

// newSite prepares a machine with the guide's configuration; boot starts it.
func newSite(t *testing.T, at string, uefi bool) *site {
	t.Helper()
	s := &site{lan: newLAN(t)}
	s.port = s.forward(t, machineIP+":9443")
	s.options = vm.Options{Disk: overlay(t, at), Seed: seed(t, guideConfig(t)), UEFI: uefi, Hardware: vm.Hardwares()[0]}
	return s
}

// overlay is a disk that is written to, over one that is not.
func overlay(t *testing.T, at string) string {
	t.Helper()
	top := filepath.Join(t.TempDir(), "disk.qcow2")
	out, err := exec.CommandContext(t.Context(), testenv.RequireTool(t, "qemu-img"), "create", "-q", "-f", "qcow2", "-b", at, "-F", "qcow2", top).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img: %v: %s", err, out)
	}
	return top
}

// boot switches the power on and returns how long it took until both VIPs served.
func (s *site) boot(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	var ctx context.Context
	s.v, ctx = s.start(t, s.options)
	s.inside = false
	must(t, s.v.Wait(ctx, "vosbed load balancer"))
	t.Logf("console after %.1f s", time.Since(began).Seconds())
	took := s.serving(ctx, t, began)
	logIn(ctx, t, s.port)
	return took
}

// cut takes the power away.
func (s *site) cut() { s.v.Stop() }

// client logs in to the machine's API.
func (s *site) client(ctx context.Context, t *testing.T) *api.Client {
	t.Helper()
	return client(ctx, t, s.port)
}

// gone waits until the WebUI does not answer any more: the machine is ending.
func (s *site) gone(ctx context.Context, t *testing.T) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		once, end := context.WithTimeout(ctx, time.Second)
		_, err := s.status(once, clientIPs()[0], "https://"+machineIP+":9443/lbadmin/login")
		end()
		if _, says := errors.AsType[*answerError](err); !says {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the machine does not end")
		}
	}
}

// command runs a command line at the machine's console and returns the last line of what it
// says.
func (s *site) command(ctx context.Context, t *testing.T, line string) string {
	t.Helper()
	if !s.inside {
		talk(ctx, t, s.v, dialog{"Press Enter to log in", ""}, dialog{"Password of loadbalancer", password})
		s.inside = true
	}
	talk(ctx, t, s.v, dialog{"Choose", "3"}, dialog{"lb1:", line + "; echo all-$((40+2))"})
	must(t, s.v.Wait(ctx, "all-42")) // the echo of what was typed has another text
	said := s.v.Said()
	said = strings.TrimSpace(said[:strings.LastIndex(said, "all-42")])
	must(t, s.v.Type("exit"))
	return said[strings.LastIndex(said, "\n")+1:]
}

// watch asks both VIPs again and again until stop is called, which tells how often they were
// asked and what went wrong.
func (s *site) watch() (stop func() (int, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	asked := 0
	var errs []error
	done.Go(func() {
		for ctx.Err() == nil {
			asked++
			if err := s.served(ctx); err != nil && ctx.Err() == nil {
				errs = append(errs, fmt.Errorf("time %d: %w", asked, err))
			}
		}
	})
	return func() (int, error) {
		cancel()
		done.Wait()
		return asked, errors.Join(errs...)
	}
}
