package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// createPairCommand is guide 14.1.2 without a browser.
func (a *app) createPairCommand() *cobra.Command {
	var pin, local string
	cmd := &cobra.Command{
		Use: "create ADDRESS", Short: "Prepare a clustered pair with the appliance at an address",
		Long: `create makes this node the primary and the appliance at ADDRESS its secondary, which
must be empty. Without --peer-pin it shows the certificate of the peer and changes
nothing; with the pin it asks for the password of the user loadbalancer on the peer
(on standard input where that is no terminal). lbctl apply then makes the pair.`,
		Example: "  lbctl ha create 192.168.94.102\n  lbctl ha create 192.168.94.102 --peer-pin sha256//… && lbctl apply",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *api.Client) error {
				report, err := c.LookAtPeer(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if pin == "" {
					return a.print(report, reportText(report))
				}
				password, err := readPassword(cmd.InOrStdin(), a.err, usualUser+" on "+report.Address)
				if err != nil {
					return err
				}
				want := api.PairCreate{Local: local, Address: report.Address, Fingerprint: pin, Password: password}
				if local == "" && len(report.Locals) > 0 {
					want.Local = report.Locals[0]
				}
				if err := c.CreatePair(cmd.Context(), want); err != nil {
					return err
				}
				return a.done("the peer at %s is prepared: lbctl apply makes the pair", report.Address)
			})
		},
	}
	cmd.Flags().StringVar(&pin, "peer-pin", "", "the peer's certificate, as shown without this flag and by lbctl token there")
	cmd.Flags().StringVar(&local, "local", "", "`address` of this node for the pair (default: the one that leads to the peer)")
	return cmd
}

func reportText(r api.PeerReport) string {
	var b strings.Builder
	fmt.Fprintf(&b, "peer: %s\npin: %s\nthis node: %s\n", r.Address, r.Fingerprint, strings.Join(r.Locals, ", "))
	for _, block := range r.Blocks {
		fmt.Fprintf(&b, "✖ %s\n", block)
	}
	if len(r.Blocks) == 0 {
		fmt.Fprintf(&b, "compare the pin with the one on the peer, then: lbctl ha create %s --peer-pin %s\n", r.Address, r.Fingerprint)
	}
	return b.String()
}

func (a *app) breakPairCommand() *cobra.Command {
	return &cobra.Command{
		Use: "break", Short: "Make two single nodes of the pair; this one keeps the services", Args: noArgs,
		Long: "Make two single nodes of the pair. This one keeps the services, the other one serves nothing.\n" +
			"A peer that does not answer learns of it when it is back, and lbctl status tells so until\n" +
			"then. Once more, lbctl ha break forgets a peer that never comes back.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.edit("the pair is broken: this node is single and serves", func(c *api.Client) error { return c.BreakPair(cmd.Context()) })
		},
	}
}
