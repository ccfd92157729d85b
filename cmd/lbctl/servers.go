package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// words describe one of drain, halt and online.
type words struct {
	state, short, long, done string
	deadline                 bool
}

func drainWords() words {
	return words{
		state: "drain", short: "Give real servers no new clients", deadline: true, done: "is draining",
		long: `drain gives a real server no new clients. Existing connections and flows stay.
With --deadline the server is halted after that time, whoever is left.`,
	}
}

func haltWords() words {
	return words{
		state: "halt", short: "Take real servers out of service at once", done: "is halted",
		long: `halt takes a real server out at once: its connections are cut and its persistent
clients move to other servers. To let clients leave first, use drain.`,
	}
}

func onlineWords() words {
	return words{
		state: "online", short: "Bring real servers back into service", done: "is online",
		long: `online ends a drain or halt. The server takes clients as soon as its health
checks pass.`,
	}
}

func (a *app) serverCommand(w words) *cobra.Command {
	var deadline time.Duration
	cmd := &cobra.Command{
		Use:     w.state + " SERVICE/SERVER...",
		Short:   w.short,
		Long:    w.long,
		Example: "  lbctl " + w.state + " Harmonic_Traffic/HT1",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name at least one server as SERVICE/SERVER, for example Harmonic_Traffic/HT1")
			}
			return nil
		},

		ValidArgsFunction: a.complete(serverNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			want := api.ServerState{State: w.state}
			if cmd.Flags().Changed("deadline") {
				want.Deadline = brief(deadline)
			}
			return a.with(func(c *api.Client) error { return a.setServers(cmd, c, args, want, w.done) })
		},
	}
	if w.deadline {
		cmd.Flags().DurationVar(&deadline, "deadline", 0, "halt the server after this `time`, for example 5m")
		cmd.Example += "\n  lbctl " + w.state + " --deadline 5m Harmonic_Management/HM1 Harmonic_Traffic/HT1"
	}
	return cmd
}

func (a *app) setServers(cmd *cobra.Command, c *api.Client, names []string, want api.ServerState, done string) error {
	for _, name := range names {
		service, server, ok := strings.Cut(name, "/")
		if !ok || service == "" || server == "" {
			return inputError("\"" + name + "\" is not SERVICE/SERVER: write for example Harmonic_Traffic/HT1")
		}
	}
	for _, name := range names {
		service, server, _ := strings.Cut(name, "/")
		if err := c.SetServer(cmd.Context(), service, server, want); err != nil {
			return err
		}
		text := done
		if want.Deadline != "" {
			text += ", halts in " + want.Deadline
		}
		if err := a.done("%s %s", name, text); err != nil {
			return err
		}
	}
	return nil
}
