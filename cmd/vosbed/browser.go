package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/browser/drive"
)

// browserCommand is the driver of a browser in a node; the lab starts it.
func (a *app) browserCommand() *cobra.Command {
	return &cobra.Command{
		Use: "browser-agent", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, cancel := signals()
			defer cancel()
			// Non-blocking, so that closing it ends a read that is under way.
			if err := unix.SetNonblock(unix.Stdin, true); err != nil {
				return fmt.Errorf("prepare standard input: %w", err)
			}
			err := drive.Main(ctx, os.NewFile(uintptr(unix.Stdin), "stdin"), os.Stdout, os.Stderr)
			if errors.Is(err, io.EOF) { // there is nothing more to do
				return nil
			}
			return err
		},
	}
}
