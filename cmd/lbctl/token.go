package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a new token for the HTTPS API and print it once, or manage named ones",
		Long: `token alone replaces the admin's token called "first"; the old one is worthless at
once. The node keeps only a hash, so the token is shown this one time, alone on
standard output; the certificate's pin for --pin follows on standard error. It works
on the node itself only.

Give every program a token of its own, with the least role that it needs: that one
can be revoked alone, and the audit trail tells who it was ("token grafana").`,
		Example: `  lbctl token > lb1.token
  lbctl token create grafana --role auditor --expires 8760h > grafana.token
  lbctl token list
  lbctl token revoke grafana`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				t, err := c.NewToken(cmd.Context())
				return a.showToken(t, err)
			})
		},
	}
	cmd.AddCommand(a.tokenCreate(), a.tokenList(), a.tokenRevoke())
	return cmd
}

// showToken prints a token alone on standard output.
func (a *app) showToken(t api.Token, err error) error {
	if err != nil {
		return err
	}
	if !a.json && t.Pin != "" {
		fmt.Fprintln(a.err, "pin:", t.Pin)
	}
	return a.print(t, t.Token+"\n")
}

func (a *app) tokenCreate() *cobra.Command {
	var (
		role string
		life time.Duration
	)
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a named token and print it once",
		Example: `  lbctl token create grafana > grafana.token
  lbctl token create deploy --role operator --expires 720h`,
		Args: oneName("token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			want := api.NewTokenOf{Name: args[0], Role: role}
			if cmd.Flags().Changed("expires") {
				want.ExpiresIn = life.String()
			}
			return a.with(func(c *api.Client) error {
				t, err := c.CreateToken(cmd.Context(), want)
				return a.showToken(t, err)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", api.RoleAuditor, "auditor (reads), operator (drains, halts, brings online) or admin")
	cmd.Flags().DurationVar(&life, "expires", 0, "`time` after which it is worthless, such as 720h; without this flag it has no end")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{api.RoleAuditor, api.RoleOperator, api.RoleAdmin}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// oneName is the Args of a command that takes the name of one thing.
func oneName(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return fmt.Errorf("%q needs the name of a %s", cmd.CommandPath(), what)
		}
		return fmt.Errorf("%q takes one name, but there is %q too", cmd.CommandPath(), args[1])
	}
}

func (a *app) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens of the HTTPS API: their text is not kept", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				all, err := c.Tokens(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(all, tokensText(all))
			})
		},
	}
}

func tokensText(all []api.TokenInfo) string {
	t := table{rows: [][]cell{row("NAME", "ROLE", "CREATED", "LAST USED", "EXPIRES")}}
	for _, one := range all {
		ends := moment(one.Expires)
		if one.Expired {
			ends += " (over)"
		}
		t.rows = append(t.rows, row(one.Name, one.Role, moment(&one.Created), moment(one.Used), ends))
	}
	return t.text(false)
}

// moment is a time of the wire, or never.
func moment(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "Make a token worthless at once", Example: "  lbctl token revoke grafana", Args: oneName("token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *api.Client) error {
				if err := c.RevokeToken(cmd.Context(), args[0]); err != nil {
					return err
				}
				return a.done("token %s is revoked", args[0])
			})
		},
	}
}
