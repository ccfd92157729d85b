package guest

import (
	"path/filepath"
	"slices"
	"strings"
)

// Modprobe is where the kernel looks for the program that loads a module when somebody asks
// for what it gives (modprobe(8)). It is the program of the first process under this name.
const Modprobe = "/sbin/modprobe"

// asked returns the names that the kernel asks for, false if the program is not called as
// modprobe.
func asked(argv []string) (names []string, ok bool) {
	if len(argv) == 0 || filepath.Base(argv[0]) != filepath.Base(Modprobe) {
		return nil, false
	}
	return slices.DeleteFunc(slices.Clone(argv[1:]), func(arg string) bool { return strings.HasPrefix(arg, "-") }), true
}

// modprobe loads what the kernel asks for.
func modprobe(names []string) error {
	l, err := newLoader()
	if err != nil {
		return err
	}
	return l.load(names...)
}
