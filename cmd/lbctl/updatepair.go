package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/bundle"
)

// pairFlags are how the nodes of a pair are updated.
type pairFlags struct {
	address, tokenFile, pin string // of the peer
	checksum                string
	older, toPrimary        bool
	interval, within        time.Duration
}

func (a *app) updatePairCommand() *cobra.Command {
	var f pairFlags
	cmd := &cobra.Command{
		Use: "pair FILE", Short: "Update both nodes of a pair, one after the other", Args: cobra.ExactArgs(1),
		Long: `pair updates a pair while it serves. The passive node comes first: it installs the
archive, restarts, and has to prove that it is healthy, sees its peer and is in sync.
Then it takes the virtual addresses, and the other node does the same. The node that
serves is told nothing before the passive one is proven.

Both nodes restart, so it runs on another machine: --address, --token-file and --pin name
one node, --peer-address, --peer-token-file and --peer-pin the other one ("lbctl token"
on each prints them; the token needs the role admin). Which of them is active is found out.

It stops at whatever is not healthy and says what the state is. Run again, it skips what
is done. --json prints every step as one line of JSON.`,
		Example: `  lbctl --address lb1:9443 --token-file t1 --pin sha256//… update pair vosbed-1.2.0.update \
      --peer-address lb2:9443 --peer-token-file t2 --peer-pin sha256//… --checksum SHA256SUMS`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.updatePair(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.address, "peer-address", os.Getenv("VOSBED_PEER_ADDRESS"), "`host:port` of the other node's HTTPS API (VOSBED_PEER_ADDRESS)")
	flags.StringVar(&f.tokenFile, "peer-token-file", os.Getenv("VOSBED_PEER_TOKEN_FILE"), "`file` with the token for --peer-address (VOSBED_PEER_TOKEN_FILE)")
	flags.StringVar(&f.pin, "peer-pin", os.Getenv("VOSBED_PEER_PIN"), "`pin` of the other node's certificate, sha256//… (VOSBED_PEER_PIN)")
	flags.StringVar(&f.checksum, "checksum", "", "checksum `file` of the archive, as sha256sum writes it")
	flags.BoolVar(&f.older, "older", false, "let a version be installed that is older than the running one")
	flags.BoolVar(&f.toPrimary, "to-primary", false, "at last move the virtual addresses to the configured primary")
	flags.DurationVar(&f.interval, "interval", rolloutEvery, "how often the nodes are asked")
	flags.DurationVar(&f.within, "within", rolloutProof, "how long a node may take from its restart until it is proven")
	return cmd
}

// updatePair updates both nodes with an archive.
func (a *app) updatePair(ctx context.Context, archive string, f pairFlags) error {
	if a.address == "" || f.address == "" {
		return inputError("name both nodes, --address and --peer-address: both restart, so run this on another machine")
	}
	version, err := versionOf(archive)
	if err != nil {
		return err
	}
	one, err := a.client()
	if err != nil {
		return err
	}
	defer one.Close()
	peer := app{address: f.address, tokenFile: f.tokenFile, pin: f.pin}
	other, err := peer.client()
	if err != nil {
		return fmt.Errorf("the other node: %w", err)
	}
	defer other.Close()
	r := rollout{
		nodes:   [2]*rolloutNode{{Client: one, at: a.address}, {Client: other, at: f.address}},
		version: version, say: a.sayStep,
		install: func(ctx context.Context, c *api.Client) (api.Update, error) {
			return sendUpdate(ctx, c, archive, f.checksum, f.older)
		},
		every: max(f.interval, time.Millisecond), proof: f.within, change: min(f.within, rolloutSwitch),
	}
	return r.run(ctx, f.toPrimary)
}

// versionOf is what an archive says that it holds; the nodes verify it.
func versionOf(archive string) (string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", inputError(err.Error())
	}
	defer f.Close()
	m, err := bundle.Peek(f)
	if err != nil {
		return "", inputError(fmt.Sprintf("%s: %v", archive, err))
	}
	return m.Version, nil
}

// sayStep prints a step while the next one goes on.
func (a *app) sayStep(s rolloutStep) {
	_ = a.line(s, fmt.Sprintf("%-12s %-8s %s\n", cmp.Or(s.Node, "pair"), s.Step, s.Text)) // the rollout goes on where nobody reads
}
