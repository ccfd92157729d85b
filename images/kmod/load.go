package kmod

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Load loads the modules of those names and all that they need. One that is loaded
// already, or whose hardware is not there, is no mistake.
func (x Index) Load(names ...string) error {
	var errs []error
	for _, name := range names {
		order, err := x.Order(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, m := range order {
			if err := insert(m.Path); err != nil {
				errs = append(errs, fmt.Errorf("load the kernel module %s: %w", m.Name, err))
				break
			}
		}
	}
	return errors.Join(errs...)
}

func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
