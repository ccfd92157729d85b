package slots

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxImage bounds a system in bytes: two of them have room on the partition.
const maxImage = 150 << 20

// Partition is a boot partition that is mounted.
type Partition struct {
	Dir string

	// before is called before each change that reaches the disk; an error is a power cut.
	before func() error
}

func (p Partition) change() error {
	if p.before == nil {
		return nil
	}
	return p.before()
}

// System is what a slot holds.
type System struct {
	Slot    Slot
	Version string
	// Proven says that it came up healthy once, or was there from the beginning.
	Proven bool
	// TriesLeft counts the starts that a system that is not proven still has.
	TriesLeft int
}

// State is what is on the partition.
type State struct {
	// Systems are those that are whole, at most one a slot.
	Systems []System
	// First is the slot that is started next.
	First Slot
}

// In returns the system of a slot.
func (s State) In(slot Slot) (System, bool) {
	for _, sys := range s.Systems {
		if sys.Slot == slot {
			return sys, true
		}
	}
	return System{}, false
}

// Of returns the system of a version.
func (s State) Of(version string) (System, bool) {
	for _, sys := range s.Systems {
		if sys.Version == version {
			return sys, true
		}
	}
	return System{}, false
}

// State reads the partition.
func (p Partition) State() (State, error) {
	env, err := p.environment()
	if err != nil {
		return State{}, err
	}
	entries, err := p.entries()
	if err != nil {
		return State{}, err
	}
	st := State{First: env.first}
	for _, slot := range []Slot{A, B} {
		c, ok := entries[slot]
		version, err := os.ReadFile(p.at(slot.version()))
		if !ok || err != nil {
			continue
		}
		st.Systems = append(st.Systems, p.system(slot, strings.TrimSpace(string(version)), c, env))
	}
	if sys, ok := st.In(env.first); !ok || !sys.Proven && sys.TriesLeft == 0 {
		st.First = env.first.Other()
	}
	return st, nil
}

// system puts together what the two loaders say: the one that started it has counted.
func (p Partition) system(slot Slot, version string, c counter, env environment) System {
	s := System{Slot: slot, Version: version, Proven: !c.counted, TriesLeft: c.left}
	if env.trying && env.first == slot {
		s.Proven = false
		s.TriesLeft = min(s.TriesLeft, env.left)
	}
	return s
}

func (p Partition) at(name string) string { return filepath.Join(p.Dir, filepath.FromSlash(name)) }

func (p Partition) environment() (environment, error) {
	b, err := os.ReadFile(p.at(envFile))
	if err != nil {
		return environment{}, fmt.Errorf("read the boot partition: %w", err)
	}
	return parseEnvironment(b)
}

// entries are systemd-boot's entries of the slots.
func (p Partition) entries() (map[Slot]counter, error) {
	list, err := os.ReadDir(p.at(entryDir))
	if err != nil {
		return nil, fmt.Errorf("read the boot partition: %w", err)
	}
	out := map[Slot]counter{}
	for _, f := range list {
		if slot, c, ok := parseName(f.Name()); ok {
			out[slot] = c
		}
	}
	return out, nil
}

// Errors of Install.
var (
	ErrTooLarge = errors.New("the system is larger than a slot")
	errChanged  = errors.New("what was written to the slot reads otherwise: the disk is bad")
)

// Install writes a system into a slot that is not running and makes it the one that is tried
// next. Whatever fails, the other slot is still started.
func (p Partition) Install(slot Slot, version string, data []byte) error {
	if len(data) > maxImage {
		return ErrTooLarge
	}
	cfg, err := grubSlot(slot, data)
	if err != nil {
		return err
	}
	if err := p.empty(slot); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{slot.Image(), data},
		{slot.grub(), cfg},
		{slot.version(), []byte(version + "\n")},
	} {
		if err := p.write(f.name, f.data); err != nil {
			return errors.Join(err, p.empty(slot))
		}
	}
	return p.try(slot, version)
}

// empty takes a slot away from both loaders, then its files.
func (p Partition) empty(slot Slot) error {
	if err := p.setEnvironment(environment{first: slot.Other()}); err != nil {
		return err
	}
	if err := p.removeEntry(slot); err != nil {
		return err
	}
	for _, name := range []string{slot.version(), slot.grub(), slot.Image()} {
		if err := p.change(); err != nil {
			return err
		}
		if err := os.Remove(p.at(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("empty slot %s: %w", slot, err)
		}
	}
	return nil
}

// try makes a slot the first choice of both loaders, for a few times.
func (p Partition) try(slot Slot, version string) error {
	if err := p.write(entryDir+"/"+name(slot, counter{counted: true, left: Tries}), entry(slot, version)); err != nil {
		return err
	}
	return p.setEnvironment(environment{first: slot, trying: true, left: Tries})
}

// Prefer lets both loaders try the system of a slot that was just installed even if the
// other one is newer, which systemd-boot would take first. The other one is the last resort,
// and is blessed again when it comes up.
func (p Partition) Prefer(slot Slot) error { return p.rename(slot.Other(), counter{counted: true}) }

// Bless says that the system of a slot came up healthy: it stays.
func (p Partition) Bless(slot Slot) error {
	if err := p.rename(slot, counter{}); err != nil {
		return err
	}
	return p.setEnvironment(environment{first: slot})
}

// GoBack makes the other slot the one that is started next; the given one is kept as the
// last resort.
func (p Partition) GoBack(from Slot) error {
	st, err := p.State()
	if err != nil {
		return err
	}
	if _, ok := st.In(from.Other()); !ok {
		return fmt.Errorf("slot %s holds no system to go back to", from.Other())
	}
	if err := p.rename(from, counter{counted: true}); err != nil {
		return err
	}
	return p.setEnvironment(environment{first: from.Other()})
}

// rename gives a slot's entry another counter.
func (p Partition) rename(slot Slot, c counter) error {
	entries, err := p.entries()
	if err != nil {
		return err
	}
	is, ok := entries[slot]
	if !ok {
		return fmt.Errorf("slot %s holds no system", slot)
	}
	if is == c {
		return nil
	}
	if err := p.change(); err != nil {
		return err
	}
	if err := os.Rename(p.at(entryDir+"/"+name(slot, is)), p.at(entryDir+"/"+name(slot, c))); err != nil {
		return fmt.Errorf("rename the entry of slot %s: %w", slot, err)
	}
	return syncDir(p.at(entryDir))
}

func (p Partition) removeEntry(slot Slot) error {
	list, err := os.ReadDir(p.at(entryDir))
	if err != nil {
		return fmt.Errorf("read the boot partition: %w", err)
	}
	for _, f := range list {
		if s, _, ok := parseName(f.Name()); ok && s == slot {
			if err := p.change(); err != nil {
				return err
			}
			if err := os.Remove(p.at(entryDir + "/" + f.Name())); err != nil {
				return fmt.Errorf("empty slot %s: %w", slot, err)
			}
		}
	}
	return syncDir(p.at(entryDir))
}

// setEnvironment overwrites GRUB's block in place: one sector or two, no new cluster.
func (p Partition) setEnvironment(e environment) error {
	if err := p.change(); err != nil {
		return err
	}
	f, err := os.OpenFile(p.at(envFile), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("write GRUB's environment: %w", err)
	}
	_, err = f.WriteAt(e.encode(), 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write GRUB's environment: %w", err)
	}
	return nil
}

// write writes a file through to the disk and reads it back.
func (p Partition) write(name string, data []byte) error {
	if err := p.change(); err != nil {
		return err
	}
	at := p.at(name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f, err := os.Create(at)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := reads(at, data); err != nil {
		return fmt.Errorf("read %s back: %w", name, err)
	}
	return syncDir(filepath.Dir(at))
}

// reads makes sure that a file has these contents, without having them in memory twice.
func reads(at string, data []byte) error {
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	part := make([]byte, 1<<20)
	for {
		n, err := f.Read(part)
		if n > len(data) || !bytes.Equal(part[:n], data[:n]) {
			return errChanged
		}
		data = data[n:]
		if errors.Is(err, io.EOF) && len(data) == 0 {
			return nil
		}
		if err != nil {
			return errors.Join(errChanged, err)
		}
	}
}

func syncDir(at string) error {
	d, err := os.Open(at)
	if err != nil {
		return fmt.Errorf("sync a folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync a folder: %w", err)
	}
	return nil
}
