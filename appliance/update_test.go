package appliance

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/update"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
	"github.com/vosbed/vosbed/internal/slots"
	"github.com/vosbed/vosbed/internal/slots/testuki"
)

// imageOptions are those of an appliance that starts from an image of version 1.0.0.
func imageOptions(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{ConfigFile: filepath.Join(dir, "config.yaml"), StateDir: dir, Etc: dir, Slots: true, Logger: slog.New(slog.DiscardHandler)}
	for name, text := range map[string]string{"config.yaml": "node: {name: lb1}\n", "os-release": "ID=vosbed\nVERSION_ID=1.0.0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return o.withDefaults()
}

// withSlots is an appliance whose boot partition is a folder.
func withSlots(t *testing.T) (u updates, key minisign.SecretKey, restarts *int) {
	t.Helper()
	o := imageOptions(t)
	key, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	files, err := slots.Files(slots.A, "1.0.0", testuki.Make("kernel", "ram"))
	if err != nil {
		t.Fatal(err)
	}
	boot := slots.Partition{Dir: filepath.Join(o.StateDir, "boot")}
	files["release.pub"] = key.Public().File()
	for name, data := range files {
		at := filepath.Join(boot.Dir, name)
		if err = errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	restarts = new(int)
	m, err := update.Open(update.Options{
		KeyFile: filepath.Join(boot.Dir, "release.pub"), Version: "1.0.0", Dir: filepath.Join(o.StateDir, updateDir),
		Config:  func() ([]byte, error) { return os.ReadFile(o.ConfigFile) },
		Mount:   func(use func(slots.Partition) error) error { return use(boot) },
		Accepts: func(func() ([]byte, error)) error { return nil },
		Restart: func() error { *restarts++; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return updates{Appliance: &Appliance{opts: o, log: o.Logger, facts: &facts{}}, manager: m}, key, restarts
}

func (u updates) send(t *testing.T, data, checksum []byte) (api.Update, error) {
	t.Helper()
	up, err := u.Receive(t.Context())
	if err != nil {
		return api.Update{}, err
	}
	defer up.Close()
	if _, err := up.Write(data); err != nil {
		return api.Update{}, err
	}
	return up.Install(t.Context(), checksum, false)
}

func TestUpdateOfAnImage(t *testing.T) {
	u, key, restarts := withSlots(t)
	ctx := t.Context()
	got, err := u.Update(ctx)
	if err != nil || got.Version != "1.0.0" || got.Healthy || !slices.Equal(got.Waiting, []string{"the virtual services are not programmed yet"}) {
		t.Errorf("%+v, %v", got, err)
	}
	u.status.Store(&lb.Status{At: time.Now()})
	u.applied.Store(&applied{plan.Plan{}, map[string]error{"proxy": errors.New("no port")}})
	if got, err = u.Update(ctx); err != nil || !slices.Equal(got.Waiting, []string{"could not be programmed: proxy (no port)"}) {
		t.Errorf("%+v, %v", got, err)
	}
	u.applied.Store(&applied{})
	if err = u.Restart(ctx); !errors.Is(err, mgmt.ErrRefused) {
		t.Errorf("restart into nothing: %v", err)
	}
	var archive bytes.Buffer
	if err = bundle.Write(&archive, "1.1.0", testuki.Make("k", "r"), key); err != nil {
		t.Fatal(err)
	}
	_, err = u.send(t, archive.Bytes(), []byte("x"))
	wrong, ok := errors.AsType[*mgmt.FieldsError](err)
	if !ok || wrong.Fields["checksum"] == "" {
		t.Errorf("%v", wrong)
	}
	got, err = u.send(t, archive.Bytes(), nil)
	want := api.Update{Version: "1.0.0", Restart: "1.1.0", Back: "1.0.0", Healthy: true, Waiting: []string{}, Slots: []api.UpdateSlot{
		{Slot: "a", Version: "1.0.0", Running: true, Proven: true}, {Slot: "b", Version: "1.1.0", Next: true, TriesLeft: slots.Tries},
	}}
	if err != nil || got.Restart != want.Restart || got.Back != want.Back || !got.Healthy || !slices.Equal(got.Slots, want.Slots) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if err := u.Restart(ctx); err != nil || *restarts != 1 {
		t.Error(err, *restarts)
	}
	if back, err := u.Back(ctx); err != nil || back.Restarts || *restarts != 1 {
		t.Error(back, err, *restarts)
	}
}

// TestUpdatedByPackages: an installation that is no image says so.
func TestUpdatedByPackages(t *testing.T) {
	o := imageOptions(t)
	for want, slots := range map[string]bool{"by the packages of its system": false, "cannot be updated": true} {
		o.Slots = slots
		if err := os.WriteFile(filepath.Join(o.Etc, osRelease), []byte("VERSION_ID=devel\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		u := openUpdates(&Appliance{opts: o, log: o.Logger})
		_, asked := u.Update(t.Context())
		_, sent := u.Receive(t.Context())
		_, back := u.Back(t.Context())
		for _, err := range []error{asked, sent, back, u.Restart(t.Context())} {
			if !errors.Is(err, mgmt.ErrRefused) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
}

// TestKeptForGoingBack: a version that cannot read what a newer one wrote starts with what
// it had itself.
func TestKeptForGoingBack(t *testing.T) {
	o := imageOptions(t)
	at := filepath.Join(o.StateDir, updateDir, "config-1.0.0.yaml")
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte("node: {name: before}\n"), 0o600),
		os.WriteFile(o.ConfigFile, []byte("node: {name: lb1, of_the_future: 1}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, cfg, err := openSettings(o)
	if err != nil || cfg.Node.Name != "before" || len(s.problems()) != 1 {
		t.Errorf("%+v, %v", cfg.Node, err)
	}
	o.Slots = false
	if _, _, err := openSettings(o); config.ErrorsOf(err) == nil {
		t.Errorf("without slots: %v", err)
	}
}
