package matrix_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/images/console"
	"github.com/vosbed/vosbed/images/recipe"
	"github.com/vosbed/vosbed/images/release"
	"github.com/vosbed/vosbed/images/vm"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/devtls"
	"github.com/vosbed/vosbed/internal/minisign"
	"github.com/vosbed/vosbed/internal/testenv"
)

// Versions that the machine is updated to.
const (
	goodVersion = "0.1.1"
	badVersion  = "0.1.2"
)

// updatePatience is how long an update may take until the machine serves again: three bad
// starts, and a good one.
const updatePatience = 8 * time.Minute

// TestUpdate installs an update, sees it stay, installs one that cannot start, and sees the
// machine come back by itself with its configuration and serve by both VIPs, by BIOS and by
// UEFI.
func TestUpdate(t *testing.T) {
	at, good := updates(t)
	bad := spoiled(t, good)
	for _, uefi := range []bool{false, true} {
		t.Run(firmware(uefi), func(t *testing.T) { update(t, at, good, bad, uefi) })
	}
}

// updates are an image, and an update of it: that which VOSBED_UPDATE names, or one that is
// built.
func updates(t *testing.T) (at, good string) {
	t.Helper()
	at = whole(t)
	if good = os.Getenv("VOSBED_UPDATE"); good != "" {
		return at, good
	}
	return at, strings.TrimSuffix(built(t, "--version", goodVersion), release.QCOW2) + release.Update
}

func update(t *testing.T, at, good, bad string, uefi bool) {
	t.Helper()
	s := newSite(t, at, uefi)
	s.boot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*updatePatience)
	defer cancel()
	before := s.config(ctx, t)
	began := install(ctx, t, s.port, good)
	s.gone(ctx, t)
	served := s.serving(ctx, t, began)
	st := settled(ctx, t, s.port, s.v, func(u api.Update) bool { return u.Version == goodVersion && proven(u) })
	t.Logf("both VIPs serve again %.1f s after the restart into %s, which is proven after %.1f s", served.Seconds(), st.Version, time.Since(began).Seconds())

	began = install(ctx, t, s.port, bad)
	s.gone(ctx, t)
	served = s.serving(ctx, t, began)
	st = settled(ctx, t, s.port, s.v, func(u api.Update) bool { return u.Version == goodVersion && u.Restart == "" })
	t.Logf("both VIPs serve again by themselves %.1f s after the restart into one that does not start: %+v", served.Seconds(), st.Slots)
	if after := s.config(ctx, t); after != before {
		t.Errorf("the configuration is not what it was:\n%s", after)
	}
}

// spoiled is an update, rightly signed, whose system ends before it begins.
func spoiled(t *testing.T, good string) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), testenv.RequireTool(t, "tar"), "-xf", good, "-C", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	system, err := os.ReadFile(filepath.Join(dir, "system.efi"))
	if err != nil {
		t.Fatal(err)
	}
	was := []byte(recipe.Cmdline)
	is := fmt.Appendf(nil, "%-*s", len(was), "rdinit=/none panic=1")
	if bytes.Count(system, was) != 1 || len(was) != len(is) {
		t.Fatal("the command line is not where it is expected")
	}
	system = bytes.Replace(system, was, is, 1)
	bad := filepath.Join(dir, "bad.update")
	write(t, bad, badVersion, system, ownKey(t))
	return bad
}

// ownKey is the key of the releases that are built here.
func ownKey(t *testing.T) minisign.SecretKey {
	t.Helper()
	keyFile, err := release.KeyPath()
	if err != nil {
		t.Fatal(err)
	}
	key, err := minisign.LoadOrCreate(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// write writes the archive of an update.
func write(t *testing.T, at, version string, system []byte, key minisign.SecretKey) {
	t.Helper()
	f, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(bundle.Write(f, version, system, key), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// config is the configuration in force.
func (s *site) config(ctx context.Context, t *testing.T) string {
	t.Helper()
	text, _, err := s.client(ctx, t).Config(ctx)
	must(t, err)
	return string(text)
}

// client logs in to the machine's API.
func client(ctx context.Context, t *testing.T, port int) *api.Client {
	t.Helper()
	c, err := login(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// login trusts the certificate that is there: the machine is the test's own.
func login(ctx context.Context, port int) (*api.Client, error) {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	pin := devtls.Pin(conn.(*tls.Conn).ConnectionState().PeerCertificates[0]) //nolint:forcetypeassert // tls.Dialer says so
	open, err := api.NewHTTPS(addr, "", pin)
	if err != nil {
		return nil, err
	}
	in, err := open.Login(ctx, console.User, password)
	if err != nil {
		return nil, err
	}
	return api.NewHTTPS(addr, in.Token, pin)
}

// install sends an update and restarts into it.
func install(ctx context.Context, t *testing.T, port int, file string) time.Time {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := client(ctx, t, port)
	began := time.Now()
	if _, err := c.InstallUpdate(ctx, api.UpdateFiles{Archive: f}); err != nil {
		t.Fatal(err)
	}
	t.Logf("installed in %.1f s", time.Since(began).Seconds())
	began = time.Now()
	if err := c.RestartIntoUpdate(ctx); err != nil {
		t.Fatal(err)
	}
	return began
}

// settled waits until the machine is as wanted.
func settled(ctx context.Context, t *testing.T, port int, v *vm.VM, as func(api.Update) bool) api.Update {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, updatePatience)
	defer cancel()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	var last any
	for {
		once, end := context.WithTimeout(ctx, 20*time.Second)
		c, err := login(once, port)
		if last = err; err == nil {
			u, err := c.Update(once)
			if err == nil && as(u) {
				end()
				return u
			}
			last = fmt.Sprintf("%+v, %v", u, err)
		}
		end()
		select {
		case <-ctx.Done():
			t.Fatalf("the machine did not become as wanted: %v\n%s", last, v.Said())
		case <-tick.C:
		}
	}
}

func proven(u api.Update) bool {
	for _, s := range u.Slots {
		if s.Running {
			return s.Proven
		}
	}
	return false
}
