// Command vosbed runs scenarios: a load balancer appliance, simulated VOS servers
// and their clients in network namespaces, with faults, measured and judged.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/internal/buildinfo"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// Exit statuses.
const (
	exitPass         = 0
	exitFail         = 1
	exitMistake      = 2 // wrong name, wrong flag, broken YAML
	exitCannot       = 3 // the lab cannot be built here
	exitInconclusive = 4
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	app := &app{stdout: stdout, stderr: stderr}
	root := app.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.Execute(); err != nil {
		return app.explain(err)
	}
	return app.status
}

// app holds what all commands share.
type app struct {
	stdout, stderr io.Writer
	status         int // exit status of a command that ran
	scenarios      string
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "vosbed",
		Short:         "Prove a load-balanced Harmonic VOS deployment on one machine",
		Long:          "vosbed builds a deployment in network namespaces, runs real traffic through it,\nbreaks it on purpose, measures what clients see, and judges.\n\nExit status: 0 pass, 1 failed, 2 wrong name or broken YAML, 3 the lab cannot be\nbuilt here, 4 inconclusive.",
		Version:       buildinfo.Get().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage{fmt.Errorf("%w%s: see `%s --help`", err, nearFlag(cmd, err), cmd.CommandPath())}
	})
	root.PersistentFlags().StringVar(&a.scenarios, "scenarios", "scenarios", "folder of the scenarios")
	root.AddCommand(a.runCommand(), a.superviseCommand(), a.engineCommand(), a.agentCommand(), a.browserCommand())
	root.AddCommand(a.planCommand(), a.lintCommand(), a.listCommand(), a.judgeCommand(), a.reportCommand())
	root.AddCommand(a.doctorCommand(), a.shellCommand(), a.demoCommand(), a.mutantsCommand(), a.schemaCommand())
	strict(root)
	return root
}

// explain prints an error in one sentence and chooses the exit status: a slip in
// what was written is told from what cannot be done here.
func (a *app) explain(err error) int {
	unknown := strings.HasPrefix(err.Error(), unknownCommand)
	fmt.Fprintf(a.stderr, "vosbed: %s\n", strings.TrimSpace(scenario.Render(err)))
	if unknown {
		fmt.Fprintln(a.stderr, "see `vosbed --help`")
	}
	if unknown || scenario.IsMistake(err) || errors.Is(err, errUsage) {
		return exitMistake
	}
	return exitCannot
}

// unknownCommand is how the error of a command that is not there begins.
const unknownCommand = "unknown command"

// errUsage marks a command line that cannot be meant.
var errUsage = errors.New("usage")

// usage is a mistake in the command line. Its words are those of err.
type usage struct{ error }

// Is makes it an [errUsage].
func (usage) Is(target error) bool { return target == errUsage }

// Unwrap returns what was wrong.
func (u usage) Unwrap() error { return u.error }

// strict makes mistakes in the number of arguments mistakes of usage, in a command
// and those below it.
func strict(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
}

// nearFlag suggests the flag that was perhaps meant.
func nearFlag(cmd *cobra.Command, err error) string {
	_, word, found := strings.Cut(err.Error(), "unknown flag: --")
	if !found {
		return ""
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := strictyaml.Nearest(word, names); near != "" {
		return fmt.Sprintf(" -- did you mean --%s?", near)
	}
	return ""
}

// errLab marks failures of the lab itself while a run was under way.
var errLab = errors.New("the run broke")

// signals returns a context that ends at SIGINT or SIGTERM.
func signals() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// completeNames offers scenario names to the shell.
func (a *app) completeNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names, _ := scenario.Names(os.DirFS(a.scenarios))
	return names, cobra.ShellCompDirectiveNoFileComp
}
