package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// group is the RunE of a command that only has subcommands: it teaches them.
func (a *app) group(cmd *cobra.Command, _ []string) error {
	if a.json {
		return inputError("name a command: " + strings.Join(commandNames(cmd), ", "))
	}
	return cmd.Help()
}

// subcommand is the Args of such a command: it suggests what was probably meant.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args[0])
}

// commandError puts cobra's own error about an unknown command into our words.
func commandError(cmd *cobra.Command, err error) error {
	var word string
	if _, no := fmt.Sscanf(err.Error(), "unknown command %q for", &word); no != nil || cmd.HasParent() {
		return err
	}
	return unknownCommand(cmd, word)
}

func unknownCommand(cmd *cobra.Command, word string) error {
	return fmt.Errorf("unknown command %q for %q%s", word, cmd.CommandPath(), suggestion(word, commandNames(cmd)))
}

func commandNames(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// noArgs is the Args of commands that take none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q takes no arguments, but there is %q", cmd.CommandPath(), args[0])
}

// helpCommand is cobra's, but an unknown command is a mistake.
func helpCommand() *cobra.Command {
	find := func(cmd *cobra.Command, args []string) (*cobra.Command, error) {
		at := cmd.Root()
		for _, word := range args {
			next, _, err := at.Find([]string{word})
			if err != nil || next == at {
				return nil, unknownCommand(at, word)
			}
			at = next
		}
		return at, nil
	}
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show the help of a command",
		Example: "  lbctl help ha takeover",
		Args: func(cmd *cobra.Command, args []string) error {
			_, err := find(cmd, args)
			return err
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			of, err := find(cmd, args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return commandNames(of), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := find(cmd, args)
			if err != nil {
				return err
			}
			return of.Help()
		},
	}
}

// guardCompletion makes an unknown shell a mistake.
func (a *app) guardCompletion(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args, cmd.RunE = subcommand, a.group
		}
	}
}

// flagError adds what was probably meant to a flag that cannot be understood.
func flagError(cmd *cobra.Command, err error) error {
	if strings.Contains(err.Error(), " flag: time: ") {
		return fmt.Errorf("%w: write for example 500ms, 5s or 2m", err)
	}
	_, word, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok { // a long flag with one dash: "unknown shorthand flag: 'j' in -json"
		_, word, ok = strings.Cut(err.Error(), " in -")
	}
	if !ok {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near := strictyaml.Nearest(word, names)
	if near == "" {
		return err
	}
	return fmt.Errorf("%w: did you mean \"--%s\"?", err, near)
}

func suggestion(word string, names []string) string {
	if near := strictyaml.Nearest(word, names); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	if len(names) == 0 {
		return ": there are none"
	}
	return ": there is " + strings.Join(names, ", ")
}

// oneFile is the Args of commands that read a configuration file.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return fmt.Errorf("give one configuration file, for example %q", cmd.CommandPath()+" /etc/vosbed/config.yaml")
	}
	return nil
}

// yamlFiles completes names of configuration files.
func yamlFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// complete asks the daemon for names; without one there is nothing to offer.
func (a *app) complete(names func(api.Status) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		var out []string
		err := a.with(func(c *api.Client) error {
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			for _, name := range names(s) {
				if !slices.Contains(given, name) {
					out = append(out, name)
				}
			}
			return nil
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// serverNames are SERVICE/SERVER of every real server.
func serverNames(s api.Status) (out []string) {
	for _, svc := range s.Services {
		for _, r := range svc.Servers {
			out = append(out, svc.Name+"/"+r.Name)
		}
	}
	return out
}

func serviceNames(s api.Status) (out []string) {
	for _, svc := range s.Services {
		out = append(out, svc.Name)
	}
	return out
}

func plainServerNames(s api.Status) (out []string) {
	for _, svc := range s.Services {
		for _, r := range svc.Servers {
			out = append(out, r.Name)
		}
	}
	return out
}
