package main

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) updateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Update the software of an appliance that starts from an image",
		Long: `update installs another version beside the running one. The machine has two slots: a
restart tries the new version, and if that does not come up healthy within some minutes,
three times, the former one is started again. The configuration is kept.

In a pair, "lbctl update pair" does both nodes in the right order. By hand, update the passive
node first: install and restart it, and when "lbctl update status" says that it is healthy
and "lbctl status" that the pair is in sync, move the virtual addresses there (lbctl ha
takeover on it) and do the same with the other node.

Where packages update the appliance, these commands are refused.`,
		Args: subcommand,
		RunE: a.group,
	}
	cmd.AddCommand(a.updateStatusCommand(), a.updateCheckCommand(), a.updateInstallCommand(), a.updateRestartCommand(), a.updateBackCommand(), a.updatePairCommand())
	return cmd
}

func (a *app) updateStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show both slots, and whether the running version is healthy", Args: noArgs,
		Example: "  lbctl update status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				u, err := c.Update(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(u, updateText(u, a.color))
			})
		},
	}
}

func updateText(u api.Update, colored bool) string {
	t := table{rows: [][]cell{row("SLOT", "VERSION", "STATE", "TRIES LEFT")}}
	for _, s := range u.Slots {
		tries := ""
		if s.Version != "" && !s.Proven {
			tries = strconv.Itoa(s.TriesLeft)
		}
		t.rows = append(t.rows, row(s.Slot, orWord(s.Version, "–"), s.State(), tries))
	}
	var b strings.Builder
	b.WriteString(t.text(colored))
	if u.Restart != "" {
		b.WriteString("version " + u.Restart + " waits for a restart: lbctl update restart\n")
	}
	if u.Healthy {
		b.WriteString(paint("✔ healthy", green, colored) + "\n")
	}
	for _, w := range u.Waiting {
		b.WriteString(paint("▲ waiting", yellow, colored) + "  " + w + "\n")
	}
	return b.String()
}

func (a *app) updateInstallCommand() *cobra.Command {
	checksum, older, online := "", false, false
	cmd := &cobra.Command{
		Use: "install FILE | --online", Short: "Install an update into the slot that does not run", Args: cobra.MaximumNArgs(1),
		Long: `install sends an update archive (vosbed-VERSION.update) to the node, which verifies its
signature and installs it beside the running version. With --checksum the archive is held
against a checksum file too, SHA256SUMS of the release. What is refused changes nothing.
With --online the node itself fetches the newest version from its update server.
The running version goes on serving until "lbctl update restart".`,
		Example: "  lbctl update install vosbed-1.2.0.update --checksum SHA256SUMS && lbctl update restart\n  lbctl update check && lbctl update install --online",
		RunE: func(cmd *cobra.Command, args []string) error {
			if online != (len(args) == 0) || online && (checksum != "" || older) {
				return inputError("give the archive, or --online alone")
			}
			return a.with(func(c *api.Client) error {
				install := fetchUpdate
				if !online {
					install = func(ctx context.Context, c *api.Client) (api.Update, error) {
						return sendUpdate(ctx, c, args[0], checksum, older)
					}
				}
				u, err := install(cmd.Context(), c)
				if err != nil {
					return err
				}
				return a.print(u, updateText(u, a.color))
			})
		},
	}
	cmd.Flags().StringVar(&checksum, "checksum", "", "checksum `file` of the archive, as sha256sum writes it")
	cmd.Flags().BoolVar(&older, "older", false, "let a version be installed that is older than the running one")
	cmd.Flags().BoolVar(&online, "online", false, "fetch the newest version from the node's update server")
	return cmd
}

// sendUpdate sends the files without holding them in memory.
func sendUpdate(ctx context.Context, c *api.Client, archive, checksum string, older bool) (api.Update, error) {
	in := api.UpdateFiles{Older: older}
	for _, f := range []struct {
		path string
		into *io.Reader
	}{{archive, &in.Archive}, {checksum, &in.Checksum}} {
		if f.path == "" {
			continue
		}
		file, err := os.Open(f.path)
		if err != nil {
			return api.Update{}, inputError(err.Error())
		}
		defer file.Close()
		if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
			return api.Update{}, inputError(f.path + " is no file")
		}
		*f.into = file
	}
	return c.InstallUpdate(ctx, in)
}

func (a *app) updateRestartCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restart", Short: "Restart the machine into the update that was installed", Args: noArgs,
		Long: `restart restarts the machine into the version that was installed. In a pair the peer
takes the virtual addresses meanwhile; a single node does not serve for half a minute.`,
		Example: "  lbctl update restart",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				if err := c.RestartIntoUpdate(cmd.Context()); err != nil {
					return err
				}
				return a.done("the machine restarts into the update")
			})
		},
	}
}

func (a *app) updateBackCommand() *cobra.Command {
	return &cobra.Command{
		Use: "back", Short: "Give up the update: go back to the former version", Args: noArgs,
		Long: `back gives up what was installed. Before the restart into it the running version just
stays; after it the machine restarts into the former version.`,
		Example: "  lbctl update back",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				came, err := c.UpdateBack(cmd.Context())
				if err != nil {
					return err
				}
				text := "the running version stays\n"
				if came.Restarts {
					text = "the machine restarts into the former version\n"
				}
				return a.print(came, text)
			})
		},
	}
}
