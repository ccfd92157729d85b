package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/buildinfo"
)

// app is one run of the program.
type app struct {
	out, err io.Writer
	color    bool

	socket, address, tokenFile, pin string
	json                            bool
	// started is set once flags and arguments were understood: an error before
	// that is a usage error.
	started bool
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !a.started {
		a.json = asksJSON(args)
		err = commandError(cmd, err)
	}
	a.complain(cmd, err)
	return exitCode(err, a.started)
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lbctl",
		Short: "Operate a load balancer appliance for Harmonic VOS",
		Long: `lbctl checks configurations and operates a running lbd: it shows what the node
does and why, takes real servers out of service and back, lists and clears
persistence, and moves the VIPs between the nodes of a pair.

It talks to the daemon of this machine over its unix socket (as root), or to a
remote node over HTTPS with a token and the pin that "lbctl token" printed there.

Exit codes: 0 done; 1 refused or failed; 2 usage or a mistake in what was given;
3 the daemon cannot be reached.`,
		Example: `  lbctl check /etc/vosbed/config.yaml      find every mistake before the daemon does
  lbctl status --watch                     watch services and servers live
  lbctl drain Harmonic_Traffic/HT1         maintenance: no new clients on HT1
  lbctl online Harmonic_Traffic/HT1        and back again
  lbctl --address lb1:9443 --token-file t --pin sha256//… status`,
		Version:       buildinfo.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          a.group,
		// Ours are told in one line, as everywhere (commandError).
		DisableSuggestions: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.started = true
			return a.checkConnection(cmd.Flags())
		},
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.SetFlagErrorFunc(flagError)
	flags := cmd.PersistentFlags()
	a.connectionFlags(flags)
	flags.BoolVar(&a.json, "json", false, "answer in JSON, errors too")
	cmd.AddCommand(
		a.checkCommand(), a.planCommand(), a.statusCommand(),
		a.serverCommand(drainWords()), a.serverCommand(haltWords()), a.serverCommand(onlineWords()),
		a.persistenceCommand(), a.haCommand(), a.reloadCommand(), a.configCommand(),
		a.metricsCommand(), a.logsCommand(), a.eventsCommand(), a.reportCommand(), a.supportCommand(), a.backupCommand(), a.passwdCommand(), a.authCommand(), a.tokenCommand(), a.versionCommand(),
	)
	cmd.AddCommand(a.draftCommands()...)
	cmd.AddCommand(a.certificateCommand(), a.fallbackCommand())
	cmd.AddCommand(a.systemCommand(), a.updateCommand())
	cmd.SetHelpCommand(helpCommand())
	cmd.InitDefaultCompletionCmd()
	a.guardCompletion(cmd)
	return cmd
}

// print writes v as JSON, or else the text.
func (a *app) print(v any, text string) error {
	if !a.json {
		_, err := io.WriteString(a.out, text)
		return err
	}
	return encode(a.out, v)
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// done reports an act that has no other answer.
func (a *app) done(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return a.print(map[string]string{"done": text}, text+"\n")
}

// colors reports whether f is a terminal that wants colours (no-color.org).
func colors(f *os.File) bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
