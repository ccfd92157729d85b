package main

import (
	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

func (a *app) haCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ha",
		Short: "Show the pair, move the VIPs between its nodes",
		Long: `ha shows this node's view of the pair: its own role, whether the peer is alive,
whether the persistence table is in sync and how far it lags.`,
		Example: `  lbctl ha
  lbctl ha takeover && lbctl ha`,
		Args: subcommand,
		RunE: a.showPair,
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "status", Short: "Show this node's view of the pair", Args: noArgs,
			RunE: a.showPair,
		},
		a.pairCommand("takeover", "Make this node active", "this node takes the VIPs"),
		a.pairCommand("release", "Hand the VIPs to the peer", "this node hands the VIPs to its peer"),
		a.createPairCommand(), a.breakPairCommand(),
	)
	return cmd
}

// pairView is a node's view of the pair in JSON.
type pairView struct {
	Node string `json:"node"`
	Seat string `json:"configured_role"`
	Role string `json:"role"`
	api.Pair
}

func (a *app) showPair(cmd *cobra.Command, _ []string) error {
	return a.with(func(c *api.Client) error {
		s, err := c.Status(cmd.Context())
		if err != nil {
			return err
		}
		pair := "pair: none, this node stands alone\n"
		if s.Role != "standalone" {
			pair = pairText(s.Pair)
		}
		return a.print(pairView{s.Node, s.Seat, s.Role, s.Pair}, head(s)+pair)
	})
}

func (a *app) pairCommand(name, short, done string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: "  lbctl ha " + name + " && lbctl ha status", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				if err := c.PairCommand(cmd.Context(), name); err != nil {
					return err
				}
				return a.done("%s", done)
			})
		},
	}
}

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon read its configuration file again",
		Long: `reload applies the configuration file without dropping a connection that it does
not concern. A file with mistakes changes nothing.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				if err := c.Reload(cmd.Context()); err != nil {
					return err
				}
				return a.done("configuration reloaded")
			})
		},
	}
}

func (a *app) configCommand() *cobra.Command {
	return &cobra.Command{
		Use: "config", Short: "Print the running configuration", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				yaml, revision, err := c.Config(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(map[string]string{"revision": revision, "yaml": string(yaml)}, string(yaml))
			})
		},
	}
}

func (a *app) metricsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "metrics", Short: "Print the node's metrics as Prometheus reads them", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				text, err := c.Metrics(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(map[string]string{"metrics": string(text)}, string(text))
			})
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print which build this is", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			info := buildinfo.Get()
			return a.print(info, "lbctl "+info.String()+"\n")
		},
	}
}
