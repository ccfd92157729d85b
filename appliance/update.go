package appliance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/internal/update"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/slots"
	"github.com/vosbed/vosbed/internal/uefi"
)

// Places of an appliance that starts from an image.
const (
	releaseKey  = "vosbed/release.pub" // below Options.Etc
	osRelease   = "os-release"
	bootMounted = "/run/vosbed/boot"
	efiDir      = "/sys/firmware/efi"
	updateDir   = "update" // below the state directory
)

// errPackages is the answer of an installation that is updated by packages.
var errPackages = fmt.Errorf("%w: this installation is not updated by itself but by the packages of its system", mgmt.ErrRefused)

// openUpdates prepares the software update. Whatever is wrong with it is no reason for not
// serving: it is the answer to whoever asks for updates.
func openUpdates(a *Appliance) updates {
	u := updates{Appliance: a, why: errPackages}
	if !a.opts.Slots {
		return u
	}
	if u.manager, u.why = openManager(a.opts); u.why != nil {
		a.log.Error("this appliance cannot be updated", "err", u.why)
		u.manager, u.why = nil, fmt.Errorf("%w: this appliance cannot be updated: %w", mgmt.ErrRefused, u.why)
	}
	return u
}

func openManager(o Options) (*update.Manager, error) {
	version, err := slots.RunningVersion(filepath.Join(o.Etc, osRelease))
	if err != nil {
		return nil, err
	}
	return update.Open(update.Options{
		KeyFile: filepath.Join(o.Etc, releaseKey), Version: version, Dir: filepath.Join(o.StateDir, updateDir),
		Config: func() ([]byte, error) { return os.ReadFile(o.ConfigFile) },
		Mount:  slots.Mounting(bootMounted), Restart: update.RestartMachine,
		Accepts: uefi.Firmware{Dir: efiDir}.Accepts,
	})
}

// keptConfig is the configuration that this version had before it was updated, for when it
// comes back and cannot read what the newer one wrote.
func keptConfig(o Options) (cfg lb.Config, ok bool) {
	if !o.Slots {
		return lb.Config{}, false
	}
	version, err := slots.RunningVersion(filepath.Join(o.Etc, osRelease))
	if err != nil {
		return lb.Config{}, false
	}
	text, err := update.Kept(filepath.Join(o.StateDir, updateDir), version)
	if err != nil || text == nil {
		return lb.Config{}, false
	}
	cfg, err = config.Parse("the configuration kept for going back", text)
	return cfg, err == nil
}

// updates are what the management API may do about the system itself.
type updates struct {
	*Appliance
	manager *update.Manager // nil = there are none
	why     error           // there are none
}

// Update tells what is installed and whether the node is healthy.
func (u updates) Update(context.Context) (api.Update, error) {
	if u.manager == nil {
		return api.Update{}, u.why
	}
	st, err := u.manager.State()
	if err != nil {
		return api.Update{}, updateError(err)
	}
	out := updateOf(st)
	out.Waiting = append(out.Waiting, update.Waiting(u.now(), u.manager.Before())...)
	out.Healthy = len(out.Waiting) == 0
	return out, nil
}

// now is what the health gate looks at.
func (u updates) now() update.Now {
	cfg, _ := u.facts.current()
	n := update.Now{Paired: cfg.Cluster.Paired, Status: u.Status()}
	done := u.applied.Load()
	if done == nil {
		return n
	}
	n.Programmed = !n.Status.At.IsZero()
	for _, name := range slices.Sorted(maps.Keys(done.failed)) {
		n.Failed = append(n.Failed, fmt.Sprintf("%s (%v)", name, done.failed[name]))
	}
	return n
}

func updateOf(st update.State) api.Update {
	out := api.Update{Version: st.Running.Version, Waiting: []string{}, Slots: []api.UpdateSlot{}}
	for _, slot := range []slots.Slot{slots.A, slots.B} {
		sys, _ := st.In(slot)
		out.Slots = append(out.Slots, api.UpdateSlot{
			Slot: string(slot), Version: sys.Version, Running: slot == st.Running.Slot, Next: slot == st.First && sys.Version != "",
			Proven: sys.Proven, TriesLeft: sys.TriesLeft,
		})
	}
	if next, ok := st.Installed(); ok {
		out.Restart, out.Back = next.Version, st.Running.Version
	} else if former, ok := st.In(st.Running.Slot.Other()); ok && former.Proven {
		out.Back = former.Version
	}
	return out
}

// Receive begins an upload.
func (u updates) Receive(context.Context) (mgmt.UpdateUpload, error) {
	if u.manager == nil {
		return nil, u.why
	}
	up, err := u.manager.Begin()
	if err != nil {
		return nil, updateError(err)
	}
	return &updateUpload{up, u}, nil
}

// updateUpload is an archive on its way.
type updateUpload struct {
	*update.Upload
	updates
}

// Write takes the next part.
func (u *updateUpload) Write(p []byte) (int, error) {
	n, err := u.Upload.Write(p)
	return n, updateError(err)
}

// Close forgets the archive.
func (u *updateUpload) Close() error { return u.Upload.Close() }

// Install verifies and installs the archive.
func (u *updateUpload) Install(ctx context.Context, checksum []byte, older bool) (api.Update, error) {
	st, err := u.Upload.Install(update.Wish{Checksum: checksum, Older: older})
	if err != nil {
		return api.Update{}, updateError(err)
	}
	u.log.InfoContext(ctx, "a software update is installed and waits for a restart", "version", updateOf(st).Restart)
	return u.Update(ctx)
}

// Restart restarts the machine into what was installed.
func (u updates) Restart(ctx context.Context) error {
	if u.manager == nil {
		return u.why
	}
	u.log.InfoContext(ctx, "the machine is to restart into a software update")
	return updateError(u.manager.Restart(update.PictureOf(u.Status())))
}

// Back gives up what was installed.
func (u updates) Back(ctx context.Context) (api.UpdateBack, error) {
	if u.manager == nil {
		return api.UpdateBack{}, u.why
	}
	restarts, err := u.manager.Back()
	if err != nil {
		return api.UpdateBack{}, updateError(err)
	}
	u.log.InfoContext(ctx, "a software update was given up", "restarts", restarts)
	return api.UpdateBack{Restarts: restarts}, nil
}

// updateError says to whom an error belongs.
func updateError(err error) error {
	if wrong, ok := errors.AsType[*update.MistakeError](err); ok {
		return &mgmt.FieldsError{Fields: map[string]string{wrong.Field: wrong.Err.Error()}}
	}
	if no, ok := errors.AsType[*update.RefusedError](err); ok {
		return fmt.Errorf("%w: %s", mgmt.ErrRefused, no.Text)
	}
	return err
}
