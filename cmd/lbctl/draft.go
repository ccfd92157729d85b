package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// draftCommands edit the pending configuration, as the WebUI does.
func (a *app) draftCommands() []*cobra.Command {
	return []*cobra.Command{
		a.changesCommand(), a.addCommand(), a.setCommand(), a.removeCommand(), a.applyCommand(),
		a.endCommand("discard", "Drop the pending changes", "the pending changes are dropped"),
		a.endCommand("keep", "Keep the configuration that is on trial", "it is kept"),
		a.endCommand("undo", "Go back from the configuration that is on trial, now", "the configuration before it is in force again"),
		a.historyCommand(), a.revertCommand(), a.restoreCommand(),
	}
}

func (a *app) changesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "changes", Short: "Show what was changed and is not in force yet", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				d, err := c.Draft(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(d, changesText(d))
			})
		},
	}
}

func changesText(d api.Draft) string {
	var b strings.Builder
	if d.Trial != nil {
		fmt.Fprintf(&b, "on trial until %s, by %s: lbctl keep, or lbctl undo\n", d.Trial.Until.Format(time.RFC3339), d.Trial.Author)
	}
	if d.Overtaken != "" {
		fmt.Fprintf(&b, "▲ %s\n", d.Overtaken)
	}
	if len(d.Changes) == 0 {
		b.WriteString("nothing is pending\n")
		return b.String()
	}
	for _, c := range d.Changes {
		fmt.Fprintf(&b, "  %s  (%s)\n", c.Text, c.Author)
	}
	for _, m := range d.Mistakes {
		fmt.Fprintf(&b, "✖ %s: %s: %s\n", m.Path, m.Message, m.Hint)
	}
	if d.Stale {
		b.WriteString("✖ another configuration came into force and changed the same: lbctl discard, and change anew\n")
	}
	fmt.Fprintf(&b, "%d of %d sessions affected; lbctl apply puts this in force\n", d.Impact.Affected, d.Impact.Sessions)
	return b.String()
}

const fieldsHelp = `Settings have the keys of the configuration file below their part: check.port=8443.
An empty value leaves a key out, so that its default holds. Nothing takes effect
before lbctl apply.`

func (a *app) addCommand() *cobra.Command {
	return &cobra.Command{
		Use: "add SERVICE[/SERVER] KEY=VALUE...", Short: "Add a virtual service or a real server to the pending changes",
		Long: "add adds a virtual service, or a real server to one.\n\n" + fieldsHelp,
		Example: `  lbctl add Harmonic_Traffic address=192.168.94.110 ports=1935,554,50000-65535 protocol=tcp/udp
  lbctl add Harmonic_Traffic/HT1 address=192.168.94.115`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := fields(args[1:])
			if err != nil {
				return err
			}
			service, server, nested := strings.Cut(args[0], "/")
			return a.edit(args[0]+" is added to the pending changes", func(c *api.Client) error {
				if !nested {
					f["name"] = service
					return c.AddService(cmd.Context(), "", f)
				}
				f["name"] = server
				return c.AddServer(cmd.Context(), "", service, f)
			})
		},
	}
}

func (a *app) setCommand() *cobra.Command {
	return &cobra.Command{
		Use: "set SERVICE[/SERVER]|node|cluster|system KEY=VALUE...", Short: "Change settings in the pending changes",
		Long: "set changes settings of a virtual service, of a real server, of this node or of the\npair (node and cluster), or of the machine that this node runs on (system: the keys\nbelow node.system).\n\n" + fieldsHelp,
		Example: `  lbctl set Harmonic_Traffic check.request=/admin/status check.expect.value=Healthy
  lbctl set Harmonic_Traffic/HT1 weight=50
  lbctl set cluster dead=600ms
  lbctl set system hostname=lb1 time.zone=Europe/London
  lbctl set system interfaces[0].name=eth0 interfaces[0].addresses=192.168.94.101/24
  lbctl set system routes[0].to=default routes[0].via=192.168.94.1`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := fields(args[1:])
			if err != nil {
				return err
			}
			service, server, nested := strings.Cut(args[0], "/")
			return a.edit(args[0]+" is changed in the pending changes", func(c *api.Client) error {
				switch {
				case nested:
					return c.EditServer(cmd.Context(), "", service, server, f)
				case service == "system":
					return c.SetSystem(cmd.Context(), "", f)
				case slices.Contains([]string{"node", "cluster"}, service):
					return c.SetPart(cmd.Context(), "", service, f)
				}
				return c.SetService(cmd.Context(), "", service, f)
			})
		},
	}
}

func (a *app) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove SERVICE[/SERVER]", Short: "Remove a virtual service or a real server in the pending changes",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, server, nested := strings.Cut(args[0], "/")
			return a.edit(args[0]+" is removed in the pending changes", func(c *api.Client) error {
				if nested {
					return c.RemoveServer(cmd.Context(), "", service, server)
				}
				return c.RemoveService(cmd.Context(), "", service)
			})
		},
	}
}

// fields reads KEY=VALUE.
func fields(args []string) (api.Fields, error) {
	f := api.Fields{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, inputError(fmt.Sprintf("%q is not KEY=VALUE, such as check.port=8443", arg))
		}
		f[key] = value
	}
	return f, nil
}

// edit changes the pending configuration and tells so.
func (a *app) edit(done string, act func(*api.Client) error) error {
	return a.with(func(c *api.Client) error {
		if err := act(c); err != nil {
			return err
		}
		return a.done("%s", done)
	})
}

func (a *app) applyCommand() *cobra.Command {
	var trial time.Duration
	cmd := &cobra.Command{
		Use: "apply", Short: "Put the pending changes in force",
		Long: `apply puts the pending changes in force. With --trial they go back by themselves
after that time, also when the connection to this node is lost, unless lbctl keep
is called before.`,
		Example: "  lbctl apply\n  lbctl apply --trial 60s",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			within, done := "", "the pending changes are in force"
			if trial > 0 {
				within, done = trial.String(), fmt.Sprintf("the pending changes are in force and go back in %v: lbctl keep, or lbctl undo", trial)
			}
			return a.edit(done, func(c *api.Client) error { return c.Apply(cmd.Context(), "", within) })
		},
	}
	cmd.Flags().DurationVar(&trial, "trial", 0, "go back after this `time` unless kept")
	return cmd
}

// endCommand is discard, keep or undo.
func (a *app) endCommand(verb, short, done string) *cobra.Command {
	return &cobra.Command{
		Use: verb, Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.edit(done, func(c *api.Client) error {
				switch verb {
				case "keep":
					return c.Keep(cmd.Context())
				case "undo":
					return c.Undo(cmd.Context())
				}
				return c.Discard(cmd.Context(), "")
			})
		},
	}
}

func (a *app) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history [NUMBER]", Short: "List the configurations that were in force, or print one", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *api.Client) error {
				if len(args) == 1 {
					yaml, err := c.Revision(cmd.Context(), args[0])
					if err != nil {
						return err
					}
					return a.print(map[string]string{"config": string(yaml)}, string(yaml))
				}
				all, err := c.History(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(all, historyText(all))
			})
		},
	}
}

func historyText(all []api.Revision) string {
	t := table{rows: [][]cell{row("NO.", "REVISION", "TIME", "CHANGES TO THE ONE BEFORE")}}
	for _, r := range all {
		var changes []string
		for _, c := range r.Changes {
			changes = append(changes, c.Text)
		}
		number := strconv.Itoa(r.Number)
		if r.Current {
			number += " *"
		}
		t.rows = append(t.rows, row(number, r.Revision, r.At.UTC().Format(time.RFC3339), strings.Join(changes, "; ")))
	}
	return t.text(false)
}

func (a *app) revertCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revert NUMBER", Short: "Make the pending configuration equal to a former one", Args: cobra.ExactArgs(1),
		Long: "revert takes a configuration of lbctl history as pending changes; the node's own part\nstays. Look at it with lbctl changes, then lbctl apply.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.edit("configuration "+args[0]+" is pending", func(c *api.Client) error { return c.Revert(cmd.Context(), "", args[0]) })
		},
	}
}
