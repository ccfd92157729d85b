package matrix_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
)

// badUpdate is an archive that a machine must refuse.
type badUpdate struct {
	name string
	// archive makes it of a good one.
	archive  func(t *testing.T, good []byte) io.Reader
	checksum string
	// before and after are command lines at the console.
	before, after string
	want          string // is in the reason
}

// Fills for a file system, and what ends them.
const (
	fillConfig = "cat /dev/zero > /var/lib/vosbed/full; sync; df -m /var/lib/vosbed"
	fillBoot   = "mount -t vfat /dev/vda2 /mnt; cat /dev/zero > /mnt/full; df -m /mnt; umount /mnt"
	freeConfig = "rm /var/lib/vosbed/full; sync"
	freeBoot   = "mount -t vfat /dev/vda2 /mnt; rm /mnt/full; umount /mnt"
)

func badUpdates() []badUpdate {
	whole := func(_ *testing.T, good []byte) io.Reader { return bytes.NewReader(good) }
	return []badUpdate{
		{name: "one bit of the system", archive: flipped(func(a []byte) int { return len(a) / 2 }), want: "not the one that was signed"},
		{name: "the manifest", archive: flipped(func(a []byte) int { return bytes.Index(a, []byte(goodVersion)) }), want: "signature"},
		{name: "another key", archive: signed(goodVersion, minisign.Generate), want: "key"},
		{name: "an older version", archive: signed("0.0.9", nil), want: "older than the running"},
		{name: "the running version", archive: signed("0.1.0", nil), want: "runs already"},
		{name: "half of it", archive: func(_ *testing.T, good []byte) io.Reader { return bytes.NewReader(good[:len(good)/2]) }, want: "not transferred wholly"},
		{name: "a transfer that breaks off", archive: brokenOff, want: errBroken.Error()},
		{name: "no archive", archive: func(*testing.T, []byte) io.Reader { return strings.NewReader("MZ") }, want: "ends too early"},
		{name: "a checksum of another file", archive: whole, checksum: fmt.Sprintf("%x  vosbed.update\n", sha256.Sum256(nil)), want: "checksum"},
		{name: "a full configuration partition", archive: whole, before: fillConfig, after: freeConfig, want: "disk is full"},
		{name: "a full boot partition", archive: whole, before: fillBoot, after: freeBoot, want: "has room for"},
	}
}

// flipped changes one bit.
func flipped(where func(archive []byte) int) func(*testing.T, []byte) io.Reader {
	return func(_ *testing.T, good []byte) io.Reader {
		bad := bytes.Clone(good)
		bad[where(bad)] ^= 1
		return bytes.NewReader(bad)
	}
}

// signed packs the system anew, by another key or as another version; no key is the right
// one.
func signed(version string, generate func() (minisign.SecretKey, error)) func(*testing.T, []byte) io.Reader {
	return func(t *testing.T, good []byte) io.Reader {
		t.Helper()
		var key minisign.SecretKey
		if generate == nil {
			key = ownKey(t)
		} else {
			var err error
			key, err = generate()
			must(t, err)
		}
		var bad bytes.Buffer
		must(t, bundle.Write(&bad, version, systemOf(t, good), key))
		return &bad
	}
}

// systemOf is the system in an archive.
func systemOf(t *testing.T, archive []byte) []byte {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		must(t, err)
		if h.Name != "system.efi" {
			continue
		}
		system, err := io.ReadAll(r)
		must(t, err)
		return system
	}
}

// errBroken is what a transfer breaks off with.
var errBroken = errors.New("the line was cut")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

func brokenOff(_ *testing.T, good []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(good[:len(good)/3]), failing{})
}

// TestBadUpdates sends a machine with 512 MB what it must refuse. Both VIPs serve all the
// while, and slots and configuration stay as they are. Then it takes a good one.
func TestBadUpdates(t *testing.T) {
	at, file := updates(t)
	good, err := os.ReadFile(file)
	must(t, err)
	s := newSite(t, at, false)
	s.boot(t)
	ctx, cancel := context.WithTimeout(t.Context(), updatePatience)
	defer cancel()
	slots, cfg := s.slots(ctx, t), s.config(ctx, t)
	stop := s.watch()
	for _, bad := range badUpdates() {
		t.Run(bad.name, func(t *testing.T) {
			s.refuses(ctx, t, bad, good)
			if now := s.slots(ctx, t); !reflect.DeepEqual(now, slots) {
				t.Errorf("the slots are %+v, they were %+v", now, slots)
			}
			if now := s.config(ctx, t); now != cfg {
				t.Errorf("the configuration is not what it was:\n%s", now)
			}
		})
	}
	asked, err := stop()
	t.Logf("both VIPs were asked %d times by %d clients meanwhile", asked, len(clientIPs()))
	if err != nil {
		t.Errorf("the VIPs did not always serve: %v", err)
	}
	began := install(ctx, t, s.port, file)
	s.gone(ctx, t)
	t.Logf("a good one is installed then, and the VIPs serve again %.1f s after the restart", s.serving(ctx, t, began).Seconds())
}

// slots are what is installed.
func (s *site) slots(ctx context.Context, t *testing.T) []api.UpdateSlot {
	t.Helper()
	u, err := s.client(ctx, t).Update(ctx)
	must(t, err)
	return u.Slots
}

// refuses sends an update that must be refused.
func (s *site) refuses(ctx context.Context, t *testing.T, bad badUpdate, good []byte) {
	t.Helper()
	if bad.before != "" {
		t.Logf("%s: %s", bad.before, s.command(ctx, t, bad.before))
	}
	c, began := s.client(ctx, t), time.Now()
	files := api.UpdateFiles{Archive: bad.archive(t, good)}
	if bad.checksum != "" {
		files.Checksum = strings.NewReader(bad.checksum)
	}
	_, err := c.InstallUpdate(ctx, files)
	if err == nil || !strings.Contains(err.Error(), bad.want) {
		t.Errorf("%s: %v; want %q", bad.name, err, bad.want)
	}
	t.Logf("%s: refused after %.1f s: %s", bad.name, time.Since(began).Seconds(), strings.ReplaceAll(fmt.Sprint(err), "\n", "; "))
	if bad.after != "" {
		s.command(ctx, t, bad.after)
	}
}

// cutAt is a moment at which the power fails.
type cutAt struct {
	name string
	// sent is the part of the archive after which it fails; above 1 the rest is the part of
	// the time that installing takes after it was sent.
	sent float64
	// after is how long after the restart into the update it fails; 0 = not then.
	after time.Duration
}

func cuts() []cutAt {
	return []cutAt{
		{name: "while the archive is sent", sent: 0.5},
		{name: "after a quarter of installing", sent: 1.25},
		{name: "after half of it", sent: 1.5},
		{name: "after three quarters", sent: 1.75},
		{name: "when it was installed", sent: 2},
		{name: "while the machine restarts into it", sent: 2, after: 2 * time.Second},
		{name: "while the new version starts", sent: 2, after: 15 * time.Second},
	}
}

// TestPowerCuts takes the power from a machine at many moments of an update. Whenever that
// is, the same disk starts again, one of the two versions serves by both VIPs with the
// configuration as it was, and the next update can be installed.
func TestPowerCuts(t *testing.T) {
	at, good := updates(t)
	former := strings.TrimSuffix(at, ".qcow2") + ".update"
	for _, uefi := range []bool{false, true} {
		t.Run(firmware(uefi), func(t *testing.T) { powerCuts(t, at, former, good, uefi) })
	}
}

func powerCuts(t *testing.T, at, former, good string, uefi bool) {
	t.Helper()
	s := newSite(t, at, uefi)
	s.boot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*updatePatience)
	defer cancel()
	cfg := s.config(ctx, t)
	installing := s.measure(ctx, t, good)
	for _, c := range cuts() {
		u := settled(ctx, t, s.port, s.v, proven)
		next := map[bool]string{true: former, false: good}[u.Version == goodVersion]
		s.cutDuring(ctx, t, next, c, installing)
		took := s.boot(t)
		now, err := s.client(ctx, t).Update(ctx)
		must(t, err)
		t.Logf("the power fails %s: %s ran, %s runs, both VIPs serve %.1f s after power-on", c.name, u.Version, now.Version, took.Seconds())
		if now := s.config(ctx, t); now != cfg {
			t.Errorf("%s: the configuration is not what it was:\n%s", c.name, now)
		}
	}
	u := settled(ctx, t, s.port, s.v, proven)
	next := map[bool]string{true: former, false: good}[u.Version == goodVersion]
	s.installs(ctx, t, next)
	u = settled(ctx, t, s.port, s.v, func(now api.Update) bool { return now.Version != u.Version && proven(now) })
	t.Logf("after all that it takes an update: %+v", u.Slots)
	s.lostNothing(ctx, t)
}

// lostNothing looks whether the boot partition has clusters that belong to no file.
func (s *site) lostNothing(ctx context.Context, t *testing.T) {
	t.Helper()
	said := s.command(ctx, t, "mount -t vfat -o ro /dev/vda2 /mnt; echo $(df -m /mnt | tail -1) $(du -sm /mnt); umount /mnt")
	fields := strings.Fields(said)
	if len(fields) != 8 {
		t.Fatalf("df(1) and du(1) say %q", said)
	}
	used, err := strconv.Atoi(fields[2])
	must(t, err)
	files, err := strconv.Atoi(fields[6])
	must(t, err)
	t.Logf("the boot partition: %d MB used, %d MB in files", used, files)
	if used > files+2 {
		t.Errorf("the boot partition has lost %d MB: %s", used-files, said)
	}
}

// measure is how long installing takes after the archive was sent.
func (s *site) measure(ctx context.Context, t *testing.T, file string) time.Duration {
	t.Helper()
	f, sent := opened(t, file, 1)
	c := s.client(ctx, t)
	_, err := c.InstallUpdate(ctx, api.UpdateFiles{Archive: f})
	must(t, err)
	took := time.Since(<-sent)
	_, err = c.UpdateBack(ctx)
	must(t, err)
	t.Logf("an update is installed %.1f s after it was sent", took.Seconds())
	return took
}

// installs installs an update and restarts into it.
func (s *site) installs(ctx context.Context, t *testing.T, file string) {
	t.Helper()
	f, _ := opened(t, file, 1)
	c := s.client(ctx, t)
	_, err := c.InstallUpdate(ctx, api.UpdateFiles{Archive: f, Older: true})
	must(t, err)
	must(t, c.RestartIntoUpdate(ctx))
}

// cutDuring takes the power away during an update.
func (s *site) cutDuring(ctx context.Context, t *testing.T, file string, c cutAt, installing time.Duration) {
	t.Helper()
	defer s.cut()
	if c.after > 0 {
		s.installs(ctx, t, file)
		pause(ctx, c.after)
		return
	}
	f, sent := opened(t, file, min(c.sent, 1))
	in := s.client(ctx, t)
	done := make(chan error, 1)
	go func() {
		_, err := in.InstallUpdate(ctx, api.UpdateFiles{Archive: f, Older: true})
		done <- err
	}()
	if c.sent >= 2 {
		must(t, <-done)
		return
	}
	select {
	case <-sent:
		pause(ctx, time.Duration(max(c.sent-1, 0)*float64(installing)))
	case err := <-done:
		t.Fatalf("%s: the update ended too early: %v", c.name, err)
	}
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// opened is a file that tells when that part of it has been read.
func opened(t *testing.T, file string, part float64) (r io.Reader, read <-chan time.Time) {
	t.Helper()
	f, err := os.Open(filepath.Clean(file))
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	must(t, err)
	at := make(chan time.Time, 1)
	return &told{f, int64(part * float64(info.Size())), at}, at
}

type told struct {
	from io.Reader
	left int64
	at   chan time.Time
}

func (r *told) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.left > 0 {
		if r.left -= int64(n); r.left <= 0 {
			r.at <- time.Now()
		}
	}
	return n, err
}
