package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// comeBack is how long lbctl waits before it follows again what has ended.
const comeBack = time.Second

func (a *app) eventsCommand() *cobra.Command {
	var since uint64
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow what happens: states of services and servers, roles, configurations, problems",
		Long: `events prints what happens from now on, until Ctrl-C: a line each, or with --json a
JSON document a line. Where the daemon goes away it waits for it, and what happened
meanwhile follows as far as the daemon has kept it. Each event has a number: --since
begins after that one.`,
		Example: `  lbctl events
  lbctl events --json | jq -c 'select(.kind == "server")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				return a.keepFollowing(cmd, func(ctx context.Context) error {
					return c.FollowEvents(ctx, since, func(e api.Event) error {
						since = max(since, e.ID)
						return a.line(e, fmt.Sprintf("%s %-13s %s\n", e.At.UTC().Format(time.RFC3339), e.Kind, e.Text))
					})
				})
			})
		},
	}
	cmd.Flags().Uint64Var(&since, "since", 0, "begin after the event of this `number`, as far as it is kept")
	return cmd
}

// line prints one of many answers, in JSON on one line.
func (a *app) line(v any, text string) error {
	if !a.json {
		_, err := fmt.Fprint(a.out, text)
		return err
	}
	return json.NewEncoder(a.out).Encode(v)
}

// keepFollowing follows again what has ended, until Ctrl-C: when the daemon is away is when
// one watches.
func (a *app) keepFollowing(cmd *cobra.Command, follow func(context.Context) error) error {
	ctx := cmd.Context()
	told := false
	for {
		err := follow(ctx)
		var away *api.UnreachableError
		if ctx.Err() != nil {
			return nil //nolint:nilerr // Ctrl-C is how one stops
		}
		switch {
		case errors.As(err, &away):
			if !told {
				a.complain(cmd, err)
			}
			told = true
		case err != nil:
			return err
		default:
			told = false
		}
		pause := time.NewTimer(comeBack)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}
