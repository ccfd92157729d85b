package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) supportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "support",
		Short: "Find out what is wrong with a node, or pack it for a helper",
		Long: `support makes the diagnostic checks of a node, and packs what a helper needs to know
into one archive without passwords, keys, tokens and the pairing secret.`,
		Args: subcommand,
		RunE: a.group,
	}
	cmd.AddCommand(a.supportCheckCommand(), a.supportDownloadCommand())
	return cmd
}

func (a *app) supportCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Make the diagnostic checks", Args: noArgs,
		Long: `check looks at the node, its network, services, pair and storage, and says of each
what was found and what to do. It exits with 1 if a check has failed; warnings alone
are no failure.`,
		Example: "  lbctl support check\n  lbctl support check --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				checks, err := c.SupportChecks(cmd.Context())
				if err != nil {
					return err
				}
				if err := a.print(checks, checksText(checks, a.color)); err != nil || checks.Verdict != api.CheckFailed {
					return err
				}
				return fmt.Errorf("failed: %s", strings.Join(failedChecks(checks), ", "))
			})
		},
	}
}

func failedChecks(tree api.SupportChecks) (names []string) {
	for _, g := range tree.Groups {
		for _, c := range g.Checks {
			if c.Verdict == api.CheckFailed {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// checksText is the tree: a branch in bold, what to do below what was found.
func checksText(tree api.SupportChecks, colored bool) string {
	var b strings.Builder
	for _, g := range tree.Groups {
		fmt.Fprintf(&b, "%s  %s\n", verdictText(g.Verdict, colored), paint(g.Name, bold, colored))
		for _, c := range g.Checks {
			fmt.Fprintf(&b, "  %s  %s: %s\n", verdictText(c.Verdict, colored), c.Name, c.Seen)
			if c.Fix != "" {
				fmt.Fprintf(&b, "              to do: %s\n", c.Fix)
			}
		}
	}
	return b.String()
}

// verdictText is icon and word, ten columns wide.
func verdictText(verdict string, colored bool) string {
	switch verdict {
	case api.CheckOK:
		return paint("✔ ok      ", green, colored)
	case api.CheckWarning:
		return paint("▲ warning ", yellow, colored)
	case api.CheckNotApplicable:
		return "– n/a     "
	}
	return paint("✖ failed  ", red, colored)
}

func (a *app) supportDownloadCommand() *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use: "download FILE", Short: "Write a support download, a .tar.gz without secrets", Args: cobra.ExactArgs(1),
		Long: `download packs configuration, status, checks, log, audit trail, counters, interfaces
and routes of the node. Its manifest.json says what could not be had. It works with
the rights of an administrator.`,
		Example: "  lbctl support download lb1.tar.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *api.Client) error {
				err := writeNew(args[0], force, func(w io.Writer) error { return c.SupportArchive(cmd.Context(), w) })
				if err != nil {
					return err
				}
				return a.done("%s is written", args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the file if it is there")
	return cmd
}

// writeNew makes a file of mode 0600 that is whole or not there. One that is there is
// kept unless force says otherwise.
func writeNew(path string, force bool, write func(io.Writer) error) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) && !force {
		return inputError(path + " is there already: name another file, or add --force to overwrite it")
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err = errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
