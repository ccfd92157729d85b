package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) authCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "Show, set up and test who may log in besides the accounts of the node",
		Long: `auth alone shows who is asked about people that have no account on this node: nobody, a
directory by LDAP, Active Directory, or RADIUS servers. Accounts of the node
always work, whatever happens to those.

The settings are this node's own, in the pending changes as all others:

  lbctl set node authentication.source=ldap authentication.servers=ldaps://dc1.example.org \
    authentication.base_dn=dc=example,dc=org \
    authentication.bind_dn=cn=reader,dc=example,dc=org \
    authentication.groups.admin=cn=lb-admins,ou=groups,dc=example,dc=org

The password of bind_dn, or the secret shared with RADIUS servers, is stored by the
daemon with auth secret, after the servers are set: it is shown to those alone. Try with
auth test before lbctl apply.`,
		Example: `  lbctl auth
  lbctl auth secret ldap < reader.password
  lbctl auth test anna`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				s, err := c.Authentication(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(s, authText(s))
			})
		},
	}
	cmd.AddCommand(a.authSecretCommand(), a.authTestCommand())
	return cmd
}

func authText(s api.AuthState) string {
	text := "source: " + s.Source + "\nsecrets stored: none\n"
	if len(s.Secrets) > 0 {
		text = "source: " + s.Source + "\nsecrets stored: " + strings.Join(s.Secrets, ", ") + "\n"
	}
	for _, w := range s.Warnings {
		text += "▲ " + w + "\n"
	}
	return text
}

func (a *app) authSecretCommand() *cobra.Command {
	forget := false
	cmd := &cobra.Command{
		Use:   "secret ldap|active-directory|radius",
		Short: "Store the password of bind_dn, or the secret shared with RADIUS servers",
		Long: `secret stores what this node shows to a source. On a terminal it asks twice and shows
nothing; otherwise it reads one line from standard input. The daemon keeps it, mode
0600, and tells it to nobody again. It takes effect at once, and for the servers that are
set now, pending or in force: after a change of servers, ca_file or start_tls it has to be
given once more, so that nobody can have it sent to a server of their own.`,
		Example: `  lbctl auth secret radius
  lbctl auth secret ldap < reader.password
  lbctl auth secret ldap --forget`,
		Args: oneName("source"),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret := ""
			if !forget {
				var err error
				if secret, err = readPassword(cmd.InOrStdin(), a.err, args[0]); err != nil {
					return err
				}
			}
			return a.with(func(c *api.Client) error {
				if err := c.SetAuthSecret(cmd.Context(), args[0], secret); err != nil {
					return err
				}
				if forget {
					return a.done("the secret of %s is forgotten", args[0])
				}
				return a.done("the secret of %s is stored", args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&forget, "forget", false, "forget the one that is stored")
	return cmd
}

func (a *app) authTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test USER",
		Short: "Ask about a person as a login would, with the pending settings",
		Long: `test asks about a person with the pending settings, in force or not, and says which role
that person would have, or in words what failed. The password is asked for on a
terminal, or read as one line from standard input. Wrong passwords count as those of
logins do.`,
		Example: "  lbctl auth test anna",
		Args:    oneName("user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := askPassword(cmd.InOrStdin(), a.err, args[0])
			if err != nil {
				return err
			}
			return a.with(func(c *api.Client) error {
				t, err := c.TestAuthentication(cmd.Context(), args[0], password)
				if err != nil {
					return err
				}
				if !t.OK {
					return errors.New(t.Source + ": " + t.Text)
				}
				return a.print(t, t.Source+": "+t.Text+"\n")
			})
		},
	}
}

// askPassword reads a password that exists: a person is asked once.
func askPassword(in io.Reader, ask io.Writer, user string) (string, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return readPassword(in, ask, user)
	}
	fmt.Fprint(ask, "Password of "+user+": ")
	text, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(ask)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(text), nil
}
