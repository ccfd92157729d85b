package uefi

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Firmware is this machine's.
type Firmware struct {
	// Dir is where the kernel shows it: /sys/firmware/efi. It is not there after a start by
	// BIOS; its folder efivars is empty until efivarfs is mounted on it.
	Dir string
}

// Errors of Accepts.
var (
	ErrRefused = errors.New("the firmware would not start this system, since Secure Boot is on")
	errUnread  = errors.New("the firmware's variables are not there yet: wait a moment and try again")
)

// Accepts says why the firmware would not start a program, nil if it would. Without Secure
// Boot the program is not read.
func (f Firmware) Accepts(program func() ([]byte, error)) error {
	on, err := f.secureBoot()
	if err != nil || !on {
		return err
	}
	allowed, err := f.database("db")
	if err != nil {
		return err
	}
	forbidden, err := f.database("dbx")
	if err != nil {
		return err
	}
	image, err := program()
	if err != nil {
		return fmt.Errorf("read the system: %w", err)
	}
	if err := allowed.Verify(image); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if forbidden.Verify(image) == nil {
		return fmt.Errorf("%w: it is revoked", ErrRefused)
	}
	return nil
}

// secureBoot says whether it is in force.
func (f Firmware) secureBoot() (bool, error) {
	if _, err := os.Stat(f.Dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil // BIOS
	}
	all, err := os.ReadDir(filepath.Join(f.Dir, "efivars"))
	if err == nil && len(all) == 0 {
		err = errUnread
	}
	if err != nil {
		return false, fmt.Errorf("find out whether Secure Boot is on: %w", err)
	}
	value, err := f.variable("SecureBoot", GlobalVariable())
	return len(value) == 1 && value[0] == 1, err
}

func (f Firmware) database(name string) (Database, error) {
	lists, err := f.variable(name, SecurityDatabase())
	if err != nil {
		return Database{}, err
	}
	db, err := NewDatabase(lists)
	if err != nil {
		return db, fmt.Errorf("read the firmware's %s: %w", name, err)
	}
	return db, nil
}

// sizeAttributes is what efivarfs puts before a value, in bytes; maxVariable bounds one.
const sizeAttributes, maxVariable = 4, 1 << 20

// variable reads one, nil if it is not there.
func (f Firmware) variable(name string, vendor GUID) ([]byte, error) {
	file, err := os.Open(filepath.Join(f.Dir, "efivars", name+"-"+vendor.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the firmware's %s: %w", name, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxVariable))
	if err != nil {
		return nil, fmt.Errorf("read the firmware's %s: %w", name, err)
	}
	return data[min(len(data), sizeAttributes):], nil
}
