package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vosbed/vosbed/appliance/api"
)

// usualUser is the user of the WebUI in the guide (9.3).
const usualUser = "loadbalancer"

func (a *app) passwdCommand() *cobra.Command {
	role := ""
	cmd := &cobra.Command{
		Use:   "passwd [USER]",
		Short: "Set the password of a user of the WebUI",
		Long: `passwd sets the password of a user of the WebUI, loadbalancer if none is named; a user
that does not exist is made. There is no default password: this is how the first one
is set. On a terminal it asks twice and shows nothing; otherwise it reads one line
from standard input. It works on the node itself, or with the token of an
administrator.`,
		Example: `  lbctl passwd
  lbctl passwd anna --role operator`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := usualUser
			if len(args) > 0 {
				user = args[0]
			}
			return a.with(func(c *api.Client) error {
				if role == "" {
					role = api.RoleAdmin
					known, err := c.Accounts(cmd.Context())
					if err != nil {
						return err
					}
					for _, k := range known {
						if k.Name == user {
							role = k.Role
						}
					}
				}
				password, err := readPassword(cmd.InOrStdin(), a.err, user)
				if err != nil {
					return err
				}
				if err := c.SetAccount(cmd.Context(), user, api.NewAccount{Role: role, Password: password}); err != nil {
					return err
				}
				return a.print(map[string]string{"user": user, "role": role}, fmt.Sprintf("password of %s set (%s)\n", user, role))
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "auditor (reads), operator (drains, halts, brings online) or admin; a new user is admin unless another is given")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{api.RoleAuditor, api.RoleOperator, api.RoleAdmin}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// maxPassword bounds the line that is read in bytes.
const maxPassword = 4096

// readPassword asks a person twice, and a program once.
func readPassword(in io.Reader, ask io.Writer, user string) (string, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, maxPassword)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", inputError("no password came on standard input: write it there as one line")
		}
		return line, nil
	}
	var given [2]string
	for i, prompt := range []string{"New password of " + user + ": ", "Once more: "} {
		fmt.Fprint(ask, prompt)
		text, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(ask)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		given[i] = string(text)
	}
	if given[0] != given[1] {
		return "", inputError("the two are not the same: nothing was changed")
	}
	return given[0], nil
}
