package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) statusCommand() *cobra.Command {
	var (
		watch    bool
		interval time.Duration
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show services, servers and the pair, and why they are so",
		Example: `  lbctl status
  lbctl status --watch --interval 500ms
  lbctl status --json | jq '.services[].servers[] | select(.up | not)'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case interval < 100*time.Millisecond:
				return inputError("--interval must be at least 100ms")
			case cmd.Flags().Changed("interval") && !watch:
				return inputError("--interval belongs to --watch: add it, or remove --interval")
			}
			return a.with(func(c *api.Client) error {
				if watch {
					return a.watch(cmd, c, interval)
				}
				return a.showStatus(cmd.Context(), c)
			})
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again until Ctrl-C; in JSON one document each time")
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "`time` between two pictures of --watch")
	return cmd
}

func (a *app) showStatus(ctx context.Context, c *api.Client) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	return a.print(s, statusText(s, a.color))
}

// watch goes on while the daemon is away: that is when one watches.
func (a *app) watch(cmd *cobra.Command, c *api.Client, interval time.Duration) error {
	ctx := cmd.Context()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if a.color && !a.json {
			_, _ = io.WriteString(a.out, "\x1b[H\x1b[2J") // home, clear
		}
		err := a.showStatus(ctx, c)
		var away *api.UnreachableError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &away):
			a.complain(cmd, err)
		case err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func statusText(s api.Status, colored bool) string {
	var b strings.Builder
	b.WriteString(paint(strings.TrimSuffix(head(s), "\n"), bold, colored) + "\n")
	if s.Role != "standalone" {
		b.WriteString(pairText(s.Pair))
	}
	b.WriteString(dataplaneText(s.Dataplane))
	b.WriteString(proxyText(s.Proxy))
	b.WriteString("\n" + servicesTable(s).text(colored))
	for _, c := range s.Conflicts {
		b.WriteString("\n" + paint("✖ ARP conflict: ", red, colored))
		fmt.Fprintf(&b, "%s is also claimed by %s (%d times)\n  %s\n", c.VIP, c.MAC, c.Count, c.Fix)
	}
	for _, p := range s.Problems {
		b.WriteString("\n" + paint("✖ problem: ", red, colored) + p + "\n")
	}
	return b.String()
}

// head is the node's line: who it is by paper and at present, and why.
func head(s api.Status) string {
	line := fmt.Sprintf("%s · %s · %s", s.Node, s.Seat, strings.ToUpper(s.Role))
	if !s.Pair.Since.IsZero() {
		line += " for " + span(float64(s.At.Sub(s.Pair.Since).Milliseconds()))
	}
	if s.Pair.Reason != "" {
		line += " (" + s.Pair.Reason + ")"
	}
	return line + " · revision " + s.Revision + "\n"
}

func pairText(p api.Pair) string {
	parts := []string{"peer dead"}
	if p.PeerAlive {
		parts = []string{"peer alive, " + p.PeerRole}
	}
	sync := "not in sync"
	if p.InSync {
		sync = "in sync, lag " + span(p.LagMS)
	}
	parts = append(parts, sync, pick(p.LeaseHeld, "lease held", "no lease"))
	for _, h := range p.Paths {
		text := fmt.Sprintf("path %s %s, seen %s ago", h.Name, pick(h.Up, "up", "DOWN"), span(h.LastSeenMS))
		if h.Rejected > 0 {
			text += fmt.Sprintf(", %d rejected", h.Rejected)
		}
		parts = append(parts, text)
	}
	for _, n := range p.Pings {
		parts = append(parts, fmt.Sprintf("ping node %s %s", n.Addr, pick(n.Up, "up", "DOWN")))
	}
	if !p.RealTime && p.RealTimeNo != "" {
		parts = append(parts, "not real-time: "+p.RealTimeNo)
	}
	return "pair: " + strings.Join(parts, " · ") + "\n"
}

func pick(on bool, yes, no string) string {
	if on {
		return yes
	}
	return no
}

func dataplaneText(d api.Dataplane) string {
	parts := []string{fmt.Sprintf("%s (%s)", d.Engine, d.Why)}
	if d.FlowCapacity > 0 {
		parts = append(parts, fmt.Sprintf("flows %d of %d", d.Flows, d.FlowCapacity))
	}
	if d.EntryCapacity > 0 {
		parts = append(parts, fmt.Sprintf("persistence %d of %d", d.Entries, d.EntryCapacity))
	}
	dropped, lost := map[string]uint64{}, map[string]uint64{}
	for reason, n := range d.Drops {
		if api.DropsNothing(reason) {
			lost[reason] = n.Packets
			continue
		}
		dropped[reason] = n.Packets
	}
	if text := reasonsText(dropped); text != "" {
		parts = append(parts, "dropped: "+text)
	}
	if text := reasonsText(lost); text != "" {
		parts = append(parts, "tables too small: "+text)
	}
	return "layer 4: " + strings.Join(parts, " · ") + "\n"
}

func proxyText(p api.Proxy) string {
	parts := []string{
		fmt.Sprintf("sessions %d of %d", p.Sessions, p.Capacity),
		fmt.Sprintf("persistence %d of %d", p.Entries, p.EntryCapacity),
	}
	if text := reasonsText(p.Refused); text != "" {
		parts = append(parts, "refused or cut: "+text)
	}
	return "layer 7: " + strings.Join(parts, " · ") + "\n"
}

// reasonsText lists the counts that are not zero, by name.
func reasonsText(counts map[string]uint64) string {
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if counts[reason] > 0 {
			out = append(out, fmt.Sprintf("%s %d", reason, counts[reason]))
		}
	}
	return strings.Join(out, ", ")
}

func servicesTable(s api.Status) table {
	t := table{rows: [][]cell{row("SERVICE", "ADDRESS", "STATE", "CONNS", "TOTAL", "WHY")}}
	for _, svc := range s.Services {
		t.rows = append(t.rows, serviceRow(svc))
		for _, r := range svc.Servers {
			t.rows = append(t.rows, serverRow(r, s.At))
		}
	}
	return t
}

// serviceRow rolls the servers' states upward: a service is as well as they are.
func serviceRow(s api.Service) []cell {
	serving := 0
	for _, r := range s.Servers {
		if r.State == "serving" {
			serving++
		}
	}
	state := cell{fmt.Sprintf("▲ %d of %d serving", serving, len(s.Servers)), yellow}
	switch serving {
	case 0:
		state = cell{"✖ no server", red}
	case len(s.Servers):
		state = cell{"✔ all serving", green}
	}
	if s.Fallback {
		state = cell{"⚑ fallback page", red}
	}
	out := row(s.Name, s.Addr, "", strconv.FormatUint(s.Counters.Active, 10), strconv.FormatUint(s.Counters.Connections, 10),
		fmt.Sprintf("layer %s %s, %s %s", s.Layer, s.Method, s.Protocol, s.Ports))
	out[0].color, out[2] = bold, state
	return out
}

func serverRow(r api.Server, now time.Time) []cell {
	addr := r.Addr
	if r.Port != 0 {
		addr += " port " + strconv.Itoa(int(r.Port))
	}
	why := r.Why
	if r.Deadline != nil {
		why += ", halts in " + span(float64(max(0, r.Deadline.Sub(now)).Milliseconds()))
	}
	out := row("  "+r.Name, "  "+addr, "", strconv.FormatUint(r.Counters.Active, 10),
		strconv.FormatUint(r.Counters.Connections, 10), why)
	out[2] = stateCell(r.State)
	return out
}

func stateCell(state string) cell {
	switch state {
	case "serving":
		return cell{"✔ serving", green}
	case "draining":
		return cell{"◐ draining", blue}
	case "halted":
		return cell{"■ halted", blue}
	}
	return cell{"✖ " + state, red}
}
