package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/images/vm"
)

// newest is the image that was built last.
func newest(dir string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "vosbed-*.qcow2"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("there is no image in %s: build one first (mkimage build)", dir)
	}
	return found[len(found)-1], nil
}

// bootOptions are the flags of the boot command.
type bootOptions struct {
	uefi, keep bool
	seed, dir  string
	port, mem  int
}

func bootCommand() *cobra.Command {
	var o bootOptions
	cmd := &cobra.Command{
		Use:   "boot",
		Short: "Boot the image in QEMU, with its console on this terminal",
		Long: "Boot the newest image in QEMU, without KVM. Its serial console is on this terminal, and its port 9443 on\n" +
			"127.0.0.1. In the set-up give it the address 10.0.2.15/24 with the gateway 10.0.2.2. Choose Power off in its\n" +
			"menu to end it, or press Ctrl-A X.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			image, err := newest(o.dir)
			if err != nil {
				return err
			}
			work, err := os.MkdirTemp("", "vosbed-boot")
			if err != nil {
				return fmt.Errorf("make a folder for the machine: %w", err)
			}
			defer func() { _ = os.RemoveAll(work) }()
			fmt.Fprintf(cmd.OutOrStdout(), "booting %s; WebUI: https://127.0.0.1:%d/lbadmin/\n", image, o.port)
			return vm.Attach(cmd.Context(), vm.Options{
				Disk: image, Format: "qcow2", Snapshot: !o.keep, Restarts: true, Seed: o.seed, UEFI: o.uefi,
				Hardware: vm.Hardwares()[0], MemoryMB: o.mem, HTTPS: o.port, Dir: work,
			}, vm.Streams{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: io.Writer(os.Stderr)})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.uefi, "uefi", false, "boot by UEFI instead of BIOS")
	f.BoolVar(&o.keep, "keep", false, "keep what the machine writes to its disk")
	f.StringVar(&o.seed, "seed", "", "second disk labelled CIDATA, whose vosbed.yaml is the first configuration: `file`")
	f.StringVar(&o.dir, "images", outDir, "`folder` of the images")
	f.IntVar(&o.port, "port", 9443, "`port` on 127.0.0.1 that leads to the machine's 9443")
	f.IntVar(&o.mem, "memory", 1024, "memory in `MiB`")
	return cmd
}
