package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/vosbed/vosbed/appliance"
	"github.com/vosbed/vosbed/appliance/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // could not start, or failed
	exitUsage  = 2 // usage, or a mistake in the configuration
)

// daemon is one run of the program.
type daemon struct {
	opts appliance.Options
	// understood is set once flags and arguments were: an error before that is a
	// usage error.
	understood bool
}

// errEngine is a --dataplane that does not exist.
var errEngine = fmt.Errorf("unknown --dataplane: use one of %s", strings.Join(appliance.Engines(), ", "))

func (d *daemon) check() error {
	if d.opts.Dataplane != "" && !slices.Contains(appliance.Engines(), d.opts.Dataplane) {
		d.understood = false
		return errEngine
	}
	return nil
}

func (d *daemon) exitCode(err error) int {
	if _, bad := errors.AsType[*appliance.ConfigError](err); bad || !d.understood {
		return exitUsage
	}
	return exitFailed
}

// complain says what is wrong and what to do. Mistakes in the configuration are shown
// with their source lines, as lbctl check shows them.
func (d *daemon) complain(w io.Writer, err error) {
	if mistakes := config.ErrorsOf(err); mistakes != nil {
		fmt.Fprint(w, mistakes.Render())
		fmt.Fprintf(w, "lbd: %s has mistakes (%d), nothing was started\n", d.opts.ConfigFile, len(mistakes))
		return
	}
	fmt.Fprintln(w, "lbd:", err)
	if hint := d.hint(err); hint != "" {
		fmt.Fprintln(w, "lbd: hint:", hint)
	}
}

func (d *daemon) hint(err error) string {
	path := ""
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		path = p.Path
	}
	_, bad := errors.AsType[*appliance.ConfigError](err)
	switch {
	case !d.understood:
		return `see "lbd run --help"`
	case errors.Is(err, fs.ErrNotExist) && path == d.opts.ConfigFile:
		return "name the configuration file with --config FILE"
	case errors.Is(err, fs.ErrNotExist) && bad:
		return "make one with \"(umask 077; head -c 32 /dev/urandom > " + path + ")\" and copy it to the peer"
	case errors.Is(err, fs.ErrPermission):
		return "run lbd as root"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there, perhaps another lbd: stop it, or write another port in node.management"
	}
	return ""
}
