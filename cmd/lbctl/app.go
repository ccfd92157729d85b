package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/api"
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
remote node over HTTPS with a token and the pin that "lbctl passwd" printed there.

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
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.SetFlagErrorFunc(flagError)
	flags := cmd.PersistentFlags()
	flags.StringVar(&a.socket, "socket", cmp.Or(os.Getenv("VOSBED_SOCKET"), "/run/vosbed/lbd.sock"), "unix `socket` of the daemon (VOSBED_SOCKET)")
	flags.StringVar(&a.address, "address", os.Getenv("VOSBED_ADDRESS"), "`host:port` of a remote node's HTTPS API (VOSBED_ADDRESS)")
	flags.StringVar(&a.tokenFile, "token-file", os.Getenv("VOSBED_TOKEN_FILE"), "`file` with the token for --address (VOSBED_TOKEN_FILE)")
	flags.StringVar(&a.pin, "pin", os.Getenv("VOSBED_PIN"), "`pin` of the remote node's certificate, sha256//…; empty trusts the system's authorities (VOSBED_PIN)")
	flags.BoolVar(&a.json, "json", false, "answer in JSON, errors too")
	cmd.AddCommand(
		a.checkCommand(), a.planCommand(), a.statusCommand(),
		a.serverCommand(drainWords()), a.serverCommand(haltWords()), a.serverCommand(onlineWords()),
		a.persistenceCommand(), a.haCommand(), a.reloadCommand(), a.configCommand(),
		a.metricsCommand(), a.passwdCommand(), a.versionCommand(),
	)
	return cmd
}

// with calls fn with a client of the chosen node.
func (a *app) with(fn func(*api.Client) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(c)
}

func (a *app) client() (*api.Client, error) {
	if a.address == "" {
		return api.NewUnix(a.socket), nil
	}
	if a.tokenFile == "" {
		return nil, inputError("--address needs --token-file: a file with the token that \"lbctl passwd\" printed on that node")
	}
	token, err := os.ReadFile(a.tokenFile)
	if err != nil {
		return nil, inputError("read the token: " + err.Error())
	}
	c, err := api.NewHTTPS(a.address, strings.TrimSpace(string(token)), a.pin)
	if err != nil {
		return nil, inputError(err.Error())
	}
	return c, nil
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
