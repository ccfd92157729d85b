package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/vosbed/vosbed/internal/atomicfile"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
	"github.com/vosbed/vosbed/internal/slots"
)

// Options are what a Manager needs; all are required.
type Options struct {
	// KeyFile holds the public key of the releases.
	KeyFile string
	// Version is that of the running system.
	Version string
	// Dir keeps archives while they are installed, and what is kept for going back. Made
	// with mode 0700.
	Dir string
	// Config returns the configuration file as it is.
	Config func() ([]byte, error)
	// Mount calls use with the boot partition, which is there only meanwhile.
	Mount func(use func(slots.Partition) error) error
	// Accepts says why the machine's firmware would not start a system, nil if it would; it
	// reads it only if that matters. One that is refused may leave the machine at its menu.
	Accepts func(system func() ([]byte, error)) error
	// Restart asks for a restart of the machine and returns at once.
	Restart func() error
}

// Manager is safe for concurrent use.
type Manager struct {
	opts    Options
	running bundle.Version
	one     sync.Mutex // upload, restart or way back at a time
	disk    sync.Mutex // the partition is mounted
	free    func(dir string) (int64, error)

	mu     sync.Mutex
	before *Picture
}

// RefusedError says why something cannot be done now, and what to do.
type RefusedError struct{ Text string }

// Error is the text.
func (e *RefusedError) Error() string { return e.Text }

// MistakeError says what is wrong with what was sent.
type MistakeError struct {
	Field string // archive, checksum or older
	Err   error
}

// Error names the field.
func (e *MistakeError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *MistakeError) Unwrap() error { return e.Err }

// Open prepares a manager and removes what an upload that broke off has left.
func Open(o Options) (*Manager, error) {
	running, err := bundle.ParseVersion(o.Version)
	if err != nil {
		return nil, fmt.Errorf("find out which version runs: %w", err)
	}
	if err = os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of updates: %w", err)
	}
	left, _ := filepath.Glob(filepath.Join(o.Dir, uploadPattern)) // the pattern is well formed
	for _, at := range left {
		if err = os.Remove(at); err != nil {
			return nil, fmt.Errorf("remove what an update left: %w", err)
		}
	}
	m := &Manager{opts: o, running: running, free: freeOn}
	m.before, err = readPicture(m.path(pictureFile), o.Version)
	return m, err
}

func (m *Manager) path(name string) string { return filepath.Join(m.opts.Dir, name) }

// State is what is installed.
type State struct {
	slots.State
	Running slots.System
}

// Installed is the system that waits for a restart; ok is false if none does.
func (s State) Installed() (sys slots.System, ok bool) {
	if s.First == s.Running.Slot {
		return slots.System{}, false
	}
	return s.In(s.First)
}

// State reads the boot partition.
func (m *Manager) State() (State, error) {
	var out State
	err := m.mounted(func(p slots.Partition) (err error) {
		out, err = m.look(p)
		return err
	})
	if err == nil && out.Running.Proven {
		m.forget()
	}
	return out, err
}

func (m *Manager) mounted(use func(slots.Partition) error) error {
	m.disk.Lock()
	defer m.disk.Unlock()
	return m.opts.Mount(use)
}

func (m *Manager) look(p slots.Partition) (State, error) {
	st, err := p.State()
	if err != nil {
		return State{}, err
	}
	running, ok := st.Of(m.opts.Version)
	if !ok {
		return State{}, fmt.Errorf("the boot partition has no slot with the running version %s", m.opts.Version)
	}
	return State{st, running}, nil
}

// Restart restarts the machine into what was installed. The picture is what served before:
// the new system must do as much.
func (m *Manager) Restart(now Picture) error {
	if !m.one.TryLock() {
		return busy()
	}
	defer m.one.Unlock()
	st, err := m.State()
	if err != nil {
		return err
	}
	if _, ok := st.Installed(); !ok {
		return &RefusedError{"no update waits for a restart: install one first"}
	}
	now.Version = m.opts.Version
	if err := now.write(m.path(pictureFile)); err != nil {
		return err
	}
	return m.opts.Restart()
}

// Back gives up what was installed: before the restart into it by staying, after it by a
// restart into the former system. restarts says which.
func (m *Manager) Back() (restarts bool, err error) {
	if !m.one.TryLock() {
		return false, busy()
	}
	defer m.one.Unlock()
	err = m.mounted(func(p slots.Partition) error {
		st, wrong := m.look(p)
		if wrong != nil {
			return wrong
		}
		if next, ok := st.Installed(); ok {
			return errors.Join(p.GoBack(next.Slot), p.Bless(st.Running.Slot))
		}
		if former, ok := st.In(st.Running.Slot.Other()); !ok || !former.Proven {
			return &RefusedError{fmt.Sprintf("there is no former version to go back to: slot %s holds none that came up healthy", st.Running.Slot.Other())}
		}
		restarts = true
		return p.GoBack(st.Running.Slot)
	})
	if err == nil && restarts {
		err = m.opts.Restart()
	}
	return restarts, err
}

func busy() error {
	return &RefusedError{"an update is being installed, or the machine restarts: wait until it is done"}
}

// snapshot is where the configuration of a version is kept.
func snapshot(dir, version string) string { return filepath.Join(dir, "config-"+version+".yaml") }

// keep keeps the configuration as the running version has it, for going back, and no other.
func (m *Manager) keep() error {
	text, err := m.opts.Config()
	if err != nil {
		return fmt.Errorf("read the configuration, to keep it for going back: %w", err)
	}
	at := snapshot(m.opts.Dir, m.opts.Version)
	if err := atomicfile.Write(at, text, 0o600); err != nil {
		return fmt.Errorf("keep the configuration for going back: %w", err)
	}
	old, _ := filepath.Glob(snapshot(m.opts.Dir, "*")) // the pattern is well formed
	for _, path := range old {
		if path != at {
			_ = os.Remove(path) // one too many is no harm
		}
	}
	return nil
}

// Kept is the configuration that a version had when it was updated, nil = none is kept.
func Kept(dir, version string) ([]byte, error) {
	text, err := os.ReadFile(snapshot(dir, version))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration that was kept for going back: %w", err)
	}
	return text, nil
}

// Newer says whether a version is newer than the running one.
func (m *Manager) Newer(version string) bool {
	v, err := bundle.ParseVersion(version)
	return err == nil && v.Compare(m.running) > 0
}

// Key is the public key of the releases.
func (m *Manager) Key() (minisign.PublicKey, error) {
	key, err := minisign.ReadPublicKey(m.opts.KeyFile)
	if err != nil {
		return key, &RefusedError{"updates cannot be verified on this appliance: " + err.Error()}
	}
	return key, nil
}
