package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/simvos/control"
)

// callTimeout bounds one call of a control socket.
const callTimeout = 10 * time.Second

// controlFlags are the flags of every command that talks to a running server.
type controlFlags struct {
	socket string
	json   bool
}

func (c *controlFlags) register(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.socket, "control", "", "path of the control socket (required)")
	cmd.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON")
}

// call runs f with a client, bounded in time.
func (c *controlFlags) call(ctx context.Context, f func(context.Context, *control.Client) error) error {
	if c.socket == "" {
		return errors.New("--control is required: the path given to simvos run")
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client := control.NewClient(c.socket)
	defer client.Close()
	return f(ctx, client)
}

const faultExample = `  simvos fault set unhealthy --body Degraded --control /run/ht1.sock
  simvos fault set unhealthy --status 503 --control /run/ht1.sock
  simvos fault set slow --delay 2s --control /run/ht1.sock
  simvos fault set refuse --service rtsp --control /run/ht1.sock
  simvos fault clear refuse --control /run/ht1.sock
  simvos fault clear --control /run/ht1.sock
  simvos fault list --json --control /run/ht1.sock`

func faultCommand() *cobra.Command {
	c := &controlFlags{}
	cmd := &cobra.Command{Use: "fault", Short: "Make a running server misbehave, or behave again", Example: faultExample}
	c.register(cmd)
	cmd.AddCommand(faultSet(c), faultClear(c), faultList(c))
	return cmd
}

func faultSet(c *controlFlags) *cobra.Command {
	var f control.Fault
	var delay time.Duration
	cmd := &cobra.Command{
		Use:       "set KIND",
		Short:     "Set a fault",
		Long:      "Set a fault, or replace the one of that kind and service.\n\nKinds:\n" + kindHelp(),
		Example:   faultExample,
		Args:      cobra.ExactArgs(1),
		ValidArgs: kindNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Kind, f.DelayMS = control.Kind(args[0]), delay.Milliseconds()
			return c.call(cmd.Context(), func(ctx context.Context, cl *control.Client) error {
				if err := cl.SetFault(ctx, f); err != nil {
					return err
				}
				return c.printFaults(ctx, cmd.OutOrStdout(), cl)
			})
		},
	}
	cmd.Flags().StringVar(&f.Service, "service", "", "one service only: "+strings.Join(control.Services(), ", "))
	cmd.Flags().StringVar(&f.Body, "body", "", "unhealthy: body to answer (default "+control.DefaultUnhealthyBody+")")
	cmd.Flags().IntVar(&f.HTTPStatus, "status", 0, "unhealthy: HTTP status to answer (default 200)")
	cmd.Flags().DurationVar(&delay, "delay", 0, fmt.Sprintf("slow: delay before the answer (default %d ms)", control.DefaultSlowMS))
	return cmd
}

func faultClear(c *controlFlags) *cobra.Command {
	return &cobra.Command{
		Use:       "clear [KIND]",
		Short:     "Clear every fault, or those of one kind",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: kindNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, cl *control.Client) error {
				err := clearFaults(ctx, cl, args)
				if err != nil {
					return err
				}
				return c.printFaults(ctx, cmd.OutOrStdout(), cl)
			})
		},
	}
}

func clearFaults(ctx context.Context, cl *control.Client, kinds []string) error {
	if len(kinds) == 0 {
		return cl.ClearFaults(ctx)
	}
	return cl.ClearFault(ctx, control.Kind(kinds[0]))
}

func faultList(c *controlFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the active faults",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, cl *control.Client) error {
				return c.printFaults(ctx, cmd.OutOrStdout(), cl)
			})
		},
	}
}

// printFaults prints what is active now.
func (c *controlFlags) printFaults(ctx context.Context, w io.Writer, cl *control.Client) error {
	faults, err := cl.Faults(ctx)
	if err != nil {
		return err
	}
	if c.json {
		return json.NewEncoder(w).Encode(faults)
	}
	if len(faults) == 0 {
		_, err := fmt.Fprintln(w, "no faults")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KIND\tSERVICE\tDETAIL")
	for _, f := range faults {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Kind, cmp.Or(f.Service, "all"), detail(f))
	}
	return t.Flush()
}

func detail(f control.Fault) string {
	var parts []string
	if f.Body != "" {
		parts = append(parts, fmt.Sprintf("body %q", f.Body))
	}
	if f.HTTPStatus != 0 {
		parts = append(parts, fmt.Sprintf("status %d", f.HTTPStatus))
	}
	if f.DelayMS != 0 {
		parts = append(parts, f.Delay().String())
	}
	return strings.Join(parts, ", ")
}

func kindNames() []string {
	var out []string
	for _, k := range control.Kinds() {
		out = append(out, string(k))
	}
	return out
}

func kindHelp() string {
	return `  unhealthy     /admin/status answers another body or status
  hang          /admin/status accepts and never answers
  slow          /admin/status answers late
  refuse        listeners closed, sessions cut
  media-dead    healthy, but no media and no probe replies leave
  wrong-source  UDP leaves from the server's own address, not from the VIP`
}

func statusCommand() *cobra.Command {
	c := &controlFlags{}
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show a running server: listeners, faults, what it counted",
		Example: "  simvos status --control /run/ht1.sock",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, cl *control.Client) error {
				s, err := cl.Status(ctx)
				if err != nil {
					return err
				}
				if c.json {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
				}
				return printStatus(cmd.OutOrStdout(), s)
			})
		},
	}
	c.register(cmd)
	return cmd
}

// printStatus prints a status for people.
func printStatus(w io.Writer, s control.Status) error {
	fmt.Fprintf(w, "%s (id %d), up %s, ARP %s, RIP %v, VIP %v\n\n",
		s.Name, s.ID, time.Duration(s.UptimeMS)*time.Millisecond, s.ARP, s.RIPs, s.VIPs)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tLISTEN\tSTATE")
	for _, v := range s.Services {
		fmt.Fprintf(t, "%s\t%s %s\t%s\n", v.Name, v.Network, v.Addr, v.State)
	}
	fmt.Fprintln(t, "\nPROTOCOL\tSESSIONS\tACTIVE\tRECEIVED\tSENT\tLOST\tSTRAY")
	for _, p := range slices.Sorted(maps.Keys(s.Protocols)) {
		c := s.Protocols[p]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n",
			p, c.Sessions, c.Active, c.ReceivedPackets, c.SentPackets, c.Lost, c.Stray)
	}
	return t.Flush()
}
