package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// Roles of a node in a pair.
const (
	active  = "active"
	passive = "passive"
)

// Times of the update of a pair.
const (
	rolloutEvery  = 2 * time.Second
	rolloutProof  = 25 * time.Minute // three starts, each with its time to become healthy
	rolloutSwitch = 2 * time.Minute  // the nodes change their roles
)

// rollout updates the nodes of a pair one after the other: always the passive one, and
// while it is not proven nothing happens to the other one. What is done already is
// skipped, so that it can be run again.
type rollout struct {
	nodes   [2]*rolloutNode
	version string
	install func(context.Context, *api.Client) (api.Update, error)
	say     func(rolloutStep)

	every, proof, change time.Duration
}

// rolloutNode is a node and what it said last.
type rolloutNode struct {
	*api.Client

	at     string // where it is
	status api.Status
	update api.Update
}

func (n *rolloutNode) String() string {
	if n.status.Node == "" {
		return n.at
	}
	return n.status.Node
}

// look asks the node.
func (n *rolloutNode) look(ctx context.Context) (err error) {
	st, err := n.Brief(ctx)
	if err == nil {
		n.status = st
		n.update, err = n.Update(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n, err)
	}
	return nil
}

// proven says that the node runs a version, which has come up healthy and is so now.
func (n *rolloutNode) proven(version string) bool {
	return n.update.Version == version && n.update.Healthy && n.runningSlot().Proven
}

func (n *rolloutNode) runningSlot() api.UpdateSlot {
	for _, s := range n.update.Slots {
		if s.Running {
			return s
		}
	}
	return api.UpdateSlot{}
}

// rolloutStep is one line of the progress.
type rolloutStep struct {
	Node string `json:"node,omitempty"`
	Step string `json:"step"` // send, restart, wait, switch, skip, done
	Text string `json:"text"`
}

// run updates both. An error says what the state is and what to do.
func (r *rollout) run(ctx context.Context, toPrimary bool) error {
	serving, spare, err := r.begin(ctx)
	if err != nil {
		return err
	}
	if err = r.bring(ctx, spare, serving); err != nil {
		return err
	}
	if !serving.proven(r.version) {
		serving, spare = spare, serving
		if err = r.handOver(ctx, serving, spare); err != nil {
			return err
		}
		if err = r.bring(ctx, spare, serving); err != nil {
			return err
		}
	}
	if toPrimary && spare.status.Seat == "primary" {
		serving, spare = spare, serving
		if err = r.handOver(ctx, serving, spare); err != nil {
			return err
		}
	}
	r.say(rolloutStep{Step: "done", Text: fmt.Sprintf("both nodes run version %s, and %s is active", r.version, serving)})
	return nil
}

// begin looks at both nodes and tells which is which.
func (r *rollout) begin(ctx context.Context) (serving, spare *rolloutNode, err error) {
	one, other := r.nodes[0], r.nodes[1]
	if err = errors.Join(one.look(ctx), other.look(ctx)); err != nil {
		return nil, nil, fmt.Errorf("both nodes must answer, nothing was changed: %w", err)
	}
	switch {
	case one.status.Node == other.status.Node:
		return nil, nil, inputError(fmt.Sprintf("%s and %s are the same node %s: name the other one with --peer-address", one.at, other.at, one))
	case one.status.Role == active && other.status.Role == passive:
		serving, spare = one, other
	case one.status.Role == passive && other.status.Role == active:
		serving, spare = other, one
	default:
		return nil, nil, fmt.Errorf("%s is %s and %s is %s: one node must be active and the other one passive, nothing was changed", one, one.status.Role, other, other.status.Role)
	}
	if strangers(one.status, other.status) {
		return nil, nil, inputError(fmt.Sprintf("%s and %s are not the two nodes of one pair, nothing was changed: their configured roles are %s and %s, their virtual addresses %s and %s: name the two nodes that serve the same addresses",
			one, other, one.status.Seat, other.status.Seat, virtual(one.status), virtual(other.status)))
	}
	if why := unsettled(serving, spare); why != "" {
		return nil, nil, fmt.Errorf("the pair is not in order, nothing was changed: %s", why)
	}
	return serving, spare, nil
}

// strangers says that two nodes are not of one pair: each may be in order with a peer that
// nobody named here.
func strangers(a, b api.Status) bool {
	return a.Seat == b.Seat || !slices.Equal(virtual(a), virtual(b))
}

// virtual lists the addresses that a node serves when it is active.
func virtual(st api.Status) []string {
	out := make([]string, 0, len(st.Services))
	for _, s := range st.Services {
		out = append(out, s.Addr)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unsettled says what a pair still lacks before a node of it may be restarted or take over,
// "" = nothing.
func unsettled(serving, spare *rolloutNode) string {
	var why []string
	if serving.status.Role != active {
		why = append(why, fmt.Sprintf("%s is %s", serving, serving.status.Role))
	}
	if spare.status.Role != passive {
		why = append(why, fmt.Sprintf("%s is %s", spare, spare.status.Role))
	}
	for _, n := range []*rolloutNode{serving, spare} {
		if !n.status.Pair.PeerAlive {
			why = append(why, fmt.Sprintf("%s does not see its peer", n))
		}
	}
	if !spare.status.Pair.InSync {
		why = append(why, fmt.Sprintf("the persistence table of %s is not in sync", spare))
	}
	return strings.Join(why, ", ")
}

// bring brings the version to the passive node, and tells what is to be done if that fails.
func (r *rollout) bring(ctx context.Context, spare, serving *rolloutNode) error {
	if err := r.toVersion(ctx, spare, serving); err != nil {
		return fmt.Errorf("%w (%s was the active node and was left as it is; mend %s, then run this again: what is done is skipped)", err, serving, spare)
	}
	return nil
}

func (r *rollout) toVersion(ctx context.Context, spare, serving *rolloutNode) error {
	switch {
	case spare.proven(r.version):
		r.step(spare, "skip", "version %s runs already", r.version)
	case spare.update.Version == r.version:
	default:
		if err := r.restart(ctx, spare, serving); err != nil {
			return err
		}
	}
	err := r.wait(ctx, spare, r.proof, fmt.Sprintf("to come up healthy with version %s", r.version), func(ctx context.Context) (string, error) {
		return r.lacks(ctx, spare)
	})
	if err != nil {
		return err
	}
	return r.settle(ctx, serving, spare)
}

// restart installs the version, unless that is done, and restarts into it.
func (r *rollout) restart(ctx context.Context, spare, serving *rolloutNode) error {
	if spare.update.Restart != r.version {
		r.step(spare, "send", "version %s is sent and installed beside version %s", r.version, spare.update.Version)
		u, err := r.install(ctx, spare.Client)
		if err != nil {
			return fmt.Errorf("%s does not take the update: %w", spare, err)
		}
		if u.Restart != r.version {
			return fmt.Errorf("%s has installed version %q and not %s", spare, u.Restart, r.version)
		}
	}
	// The roles may have changed while the archive was sent.
	if err := errors.Join(spare.look(ctx), serving.look(ctx)); err != nil {
		return err
	}
	if why := unsettled(serving, spare); why != "" {
		return fmt.Errorf("%s is not restarted: %s", spare, why)
	}
	r.step(spare, "restart", "restarts into version %s", r.version)
	if err := spare.RestartIntoUpdate(ctx); err != nil {
		return fmt.Errorf("%s does not restart: %w", spare, err)
	}
	return nil
}

// lacks says what a node that was restarted still lacks. A version that was given up is an
// error.
func (r *rollout) lacks(ctx context.Context, n *rolloutNode) (string, error) {
	if err := n.look(ctx); err != nil {
		if _, gone := errors.AsType[*api.UnreachableError](err); gone {
			return "it does not answer", nil
		}
		return err.Error(), nil
	}
	u := n.update
	switch {
	case u.Version != r.version && u.Restart != r.version:
		return "", fmt.Errorf("%s runs version %s: version %s did not come up healthy and was given up", n, u.Version, r.version)
	case u.Version != r.version:
		return "it has not restarted yet", nil
	case len(u.Waiting) > 0:
		return strings.Join(u.Waiting, "; "), nil
	case !n.proven(r.version):
		return "it has to be healthy for some seconds", nil
	}
	return "", nil
}

// settle waits until the pair is in order.
func (r *rollout) settle(ctx context.Context, serving, spare *rolloutNode) error {
	return r.wait(ctx, spare, r.change, "to be in sync with its peer", func(ctx context.Context) (string, error) {
		if err := errors.Join(serving.look(ctx), spare.look(ctx)); err != nil {
			return err.Error(), nil //nolint:nilerr // it may answer a moment later
		}
		return unsettled(serving, spare), nil
	})
}

// handOver moves the virtual addresses to a node, which has just been found in order.
func (r *rollout) handOver(ctx context.Context, to, from *rolloutNode) error {
	r.step(to, "switch", "takes the virtual addresses from %s", from)
	err := to.PairCommand(ctx, "takeover")
	if err == nil {
		err = r.settle(ctx, to, from)
	}
	if err != nil {
		return fmt.Errorf("%s does not take the virtual addresses: %w (\"lbctl ha\" tells about the pair; run this again when it is in order: what is done is skipped)", to, err)
	}
	return nil
}

// wait asks again and again until nothing is lacking, and tells what is when that changes.
func (r *rollout) wait(ctx context.Context, n *rolloutNode, within time.Duration, what string, lacks func(context.Context) (string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	last := ""
	for {
		why, err := lacks(ctx)
		switch {
		case err != nil:
			return err
		case why == "":
			return nil
		case ctx.Err() == nil && why != last:
			r.step(n, "wait", "waits %s: %s", what, why)
			last = why
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("%s had %s %s, and did not: %s", n, within, what, last)
		case <-tick.C:
		}
	}
}

func (r *rollout) step(n *rolloutNode, step, format string, args ...any) {
	r.say(rolloutStep{Node: n.String(), Step: step, Text: fmt.Sprintf(format, args...)})
}
