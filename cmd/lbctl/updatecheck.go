package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// errNewest is the answer where there is nothing to install.
var errNewest = errors.New("the update server has no version that is newer than the running one: nothing was changed")

func (a *app) updateCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Ask the update server for a newer version", Args: noArgs,
		Long: `check asks the update server that node.update.server names, a folder of a release on a
web server, whether it has a newer version, and shows what is new in it. The node asks,
not this machine; what the server says counts if the key of the node has
signed it.`,
		Example: "  lbctl set node update.server=https://updates.example.org/vosbed/ && lbctl apply\n  lbctl update check",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				u, err := c.CheckForUpdate(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(u, onlineText(u))
			})
		},
	}
}

func onlineText(u api.OnlineUpdate) string {
	v := u.Available
	if v == nil {
		return fmt.Sprintf("the running version is the newest one: %s has %s\n", u.Server, u.Latest)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "version %s is available, %.1f MB, SHA-256 %s\n", v.Version, float64(v.Size)/1e6, v.SHA256)
	for line := range strings.Lines(v.Notes) {
		fmt.Fprintf(&b, "  %s\n", strings.TrimRight(line, "\n"))
	}
	b.WriteString("install it with: lbctl update install --online\n")
	return b.String()
}

// fetchUpdate lets the node fetch and install what its update server has.
func fetchUpdate(ctx context.Context, c *api.Client) (api.Update, error) {
	found, err := c.CheckForUpdate(ctx)
	if err != nil {
		return api.Update{}, err
	}
	if found.Available == nil {
		return api.Update{}, errNewest
	}
	return c.InstallOnline(ctx, found.Available.Version)
}
