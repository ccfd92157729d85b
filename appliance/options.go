package appliance

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Options are what an appliance needs from the outside. The zero value of a field
// means its default.
type Options struct {
	// ConfigFile is the YAML configuration.
	ConfigFile string
	// StateDir keeps what must survive a restart: certificate, token hash, operator
	// overrides, configuration history. Made with mode 0700.
	StateDir string
	// Socket is the unix socket of the management API.
	Socket string
	// BPFFS is a directory on a bpffs that belongs to the node: the kernel state in
	// it outlives the daemon. Empty = nothing outlives the daemon.
	BPFFS string
	// Dataplane is auto, tcx, clsact, ipvs (the kernel's own balancer, without a lease) or
	// memory (a model that forwards nothing).
	Dataplane string
	// Etc is where the machine's own files are that node.system writes. Default /etc.
	Etc string
	// Slots says that the machine starts from an image with two slots, into which the
	// appliance installs its own updates. Otherwise packages update it.
	Slots  bool
	Logger *slog.Logger
}

// memoryEngine is the value of Options.Dataplane that leaves the kernel alone.
const memoryEngine = "memory"

// ipvsEngine is the value that asks for IPVS.
const ipvsEngine = "ipvs"

// Engines lists the values of Options.Dataplane.
func Engines() []string { return []string{"auto", "tcx", "clsact", ipvsEngine, memoryEngine} }

func (o Options) withDefaults() Options {
	if o.StateDir == "" {
		o.StateDir = "/var/lib/vosbed"
	}
	if o.Socket == "" {
		o.Socket = "/run/vosbed/lbd.sock"
	}
	if o.Dataplane == "" {
		o.Dataplane = "auto"
	}
	if o.Etc == "" {
		o.Etc = "/etc"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) prepare() error {
	if o.ConfigFile == "" {
		return errors.New("no configuration file: name one with --config")
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(o.Socket), 0o755); err != nil {
		return fmt.Errorf("make the socket's directory: %w", err)
	}
	return nil
}
