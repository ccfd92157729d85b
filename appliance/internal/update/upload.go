package update

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/slots"
)

// uploadPattern are the names of archives that are being sent.
const uploadPattern = "upload-*"

// Upload is an archive that is being sent: written to a file below the state directory,
// never held in memory. Close it in any case.
type Upload struct {
	m    *Manager
	file *os.File
	hash hash.Hash
	size int64
}

// Begin begins an upload. There is one at a time.
func (m *Manager) Begin() (*Upload, error) {
	if !m.one.TryLock() {
		return nil, busy()
	}
	f, err := os.CreateTemp(m.opts.Dir, uploadPattern) // mode 0600
	if err != nil {
		m.one.Unlock()
		return nil, full(fmt.Errorf("keep the archive: %w", err))
	}
	return &Upload{m: m, file: f, hash: sha256.New()}, nil
}

// Close forgets the archive.
func (u *Upload) Close() error {
	defer u.m.one.Unlock()
	return errors.Join(u.file.Close(), os.Remove(u.file.Name()))
}

// Write takes the next part of the archive.
func (u *Upload) Write(p []byte) (int, error) {
	if u.size+int64(len(p)) > bundle.MaxArchive {
		return 0, &MistakeError{"archive", fmt.Errorf("it has more than the %d MB that an update can have", bundle.MaxArchive>>20)}
	}
	n, err := u.file.Write(p)
	u.size += int64(n)
	u.hash.Write(p[:n])
	return n, full(err)
}

// full says what to do when there is no room.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &RefusedError{"the disk is full, nothing was changed: remove what is not needed from the configuration partition"}
	}
	return err
}

// Wish is how to install.
type Wish struct {
	// Checksum is the file with the archive's checksum, nil = there is none.
	Checksum []byte
	// Older lets a version be installed that is older than the running one.
	Older bool
}

// Install verifies the archive and installs it into the slot that does not run. An error
// means that nothing that could be started was changed, unless it was the disk's.
func (u *Upload) Install(w Wish) (State, error) {
	if u.size == 0 {
		return State{}, &MistakeError{"archive", errors.New("choose the archive of an update")}
	}
	if w.Checksum != nil {
		if err := bundle.CheckSum(w.Checksum, [sha256.Size]byte(u.hash.Sum(nil))); err != nil {
			return State{}, &MistakeError{"checksum", err}
		}
	}
	manifest, err := u.verify(w)
	if err != nil {
		return State{}, err
	}
	var out State
	defer debug.FreeOSMemory() // a system is large, and the machine may have 512 MB
	debug.FreeOSMemory()
	err = u.m.mounted(func(p slots.Partition) (wrong error) {
		out, wrong = u.into(p, manifest)
		return wrong
	})
	return out, err
}

// into installs the archive on the partition.
func (u *Upload) into(p slots.Partition, manifest bundle.Manifest) (State, error) {
	st, err := u.m.look(p)
	if err != nil {
		return State{}, err
	}
	if err = u.m.room(p, st, manifest); err != nil {
		return State{}, err
	}
	if err = u.m.keep(); err != nil {
		return State{}, full(err)
	}
	a, err := u.open()
	if err != nil {
		return State{}, err
	}
	other := st.Running.Slot.Other()
	system, err := a.System()
	if err != nil {
		return State{}, &MistakeError{"archive", err}
	}
	if err = p.Install(other, manifest.Version, system); err != nil {
		return State{}, full(err)
	}
	next, err := bundle.ParseVersion(manifest.Version)
	if err == nil && next.Compare(u.m.running) < 0 {
		err = p.Prefer(other)
	}
	if err != nil {
		return State{}, err
	}
	return u.m.look(p)
}

// open opens the archive from its beginning.
func (u *Upload) open() (*bundle.Archive, error) {
	key, err := u.m.Key()
	if err != nil {
		return nil, err
	}
	if _, err = u.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	a, err := bundle.Open(u.file, key)
	if err != nil {
		return nil, &MistakeError{"archive", err}
	}
	return a, nil
}

// verify reads the whole archive.
func (u *Upload) verify(w Wish) (bundle.Manifest, error) {
	a, err := u.open()
	if err != nil {
		return bundle.Manifest{}, err
	}
	next, err := bundle.ParseVersion(a.Manifest.Version)
	if err != nil {
		return bundle.Manifest{}, &MistakeError{"archive", err}
	}
	switch order := next.Compare(u.m.running); {
	case order == 0:
		return bundle.Manifest{}, &MistakeError{"archive", fmt.Errorf("it holds version %s, which runs already", next)}
	case order < 0 && !w.Older:
		return bundle.Manifest{}, &MistakeError{"archive", fmt.Errorf("it holds version %s, which is older than the running %s: allow an older version if it is meant", next, u.m.running)}
	}
	refused := u.m.opts.Accepts(a.System)
	_, err = io.Copy(io.Discard, a)
	if err = cmp.Or(err, refused); err != nil { // of a damaged archive nothing else is true
		return bundle.Manifest{}, &MistakeError{"archive", err}
	}
	return a.Manifest, nil
}

// spare is what a slot needs besides its system, in bytes.
const spare = 1 << 20

// room refuses what would leave the machine without a system that is known to work, or has
// no room.
func (m *Manager) room(p slots.Partition, st State, manifest bundle.Manifest) error {
	if !st.Running.Proven {
		return &RefusedError{fmt.Sprintf("the running version %s has not proved itself yet: wait until it is healthy, or go back first", st.Running.Version)}
	}
	free, err := m.free(p.Dir)
	if err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Join(p.Dir, string(st.Running.Slot.Other()), "vosbed.efi")); err == nil {
		free += info.Size()
	}
	if need := manifest.Size + spare; free < need {
		return &RefusedError{fmt.Sprintf("the boot partition has room for %d MB and the update needs %d MB: nothing was changed", free>>20, need>>20)}
	}
	return nil
}

// freeOn is how much room a file system has, in bytes.
func freeOn(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("look for room on the boot partition: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
