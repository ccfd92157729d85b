// Package events tells what happened, from two pictures of the appliance: nothing has to
// report an event, and nothing that changes can forget to. It is pure.
package events

import (
	"fmt"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Kinds of events.
const (
	Server        = "server"        // a real server's state: serving, draining, down, halted, unchecked
	Service       = "service"       // a virtual service: healthy, partly, down
	Role          = "role"          // active, passive, standalone
	Peer          = "peer"          // alive, dead
	Sync          = "sync"          // in sync, behind
	Configuration = "configuration" // a revision came into force
	Draft         = "draft"         // the number of pending changes
	Trial         = "trial"         // on, kept, reverted
	Problem       = "problem"       // appeared, gone
	More          = "more"          // there were more changes at once than events are made of
)

// Event is one change. Before and After are words or numbers, "" = was or is not there.
type Event struct {
	At              time.Time
	Kind            string
	Service, Server string // of which it tells, if of any
	Before, After   string
	Text            string // a sentence
}

// most is how many events one change of the picture makes.
const most = 256

// Diff returns what happened between two pictures, in the order of its weight: the pair,
// the configuration, services with their servers, problems.
func Diff(before, after lb.Status) []Event {
	d := &diff{at: after.At}
	d.pair(before.Pair, after.Pair)
	d.configuration(before, after)
	d.services(before.Services, after.Services)
	d.problems(before.Problems, after.Problems)
	if extra := len(d.out) - most; extra > 0 {
		d.out = append(d.out[:most], Event{At: after.At, Kind: More, Text: fmt.Sprintf("%d more changes at once: read the status", extra)})
	}
	return d.out
}

type diff struct {
	at  time.Time
	out []Event
}

func (d *diff) add(e Event) {
	e.At = d.at
	d.out = append(d.out, e)
}

// edge adds an event if the two words differ.
func (d *diff) edge(kind, before, after, text string) {
	if before != after {
		d.add(Event{Kind: kind, Before: before, After: after, Text: text})
	}
}

func (d *diff) pair(was, is lb.PairStatus) {
	text := fmt.Sprintf("this node is %s now, it was %s", is.Role, was.Role)
	if is.Reason != "" {
		text += ": " + is.Reason
	}
	d.edge(Role, was.Role.String(), is.Role.String(), text)
	alive := word("alive", "dead")
	d.edge(Peer, alive(was.PeerAlive), alive(is.PeerAlive), "the peer is "+alive(is.PeerAlive))
	sync := word("in sync", "behind")
	d.edge(Sync, sync(was.InSync), sync(is.InSync), "the persistence table is "+sync(is.InSync))
}

func word(yes, no string) func(bool) string {
	return func(on bool) string {
		if on {
			return yes
		}
		return no
	}
}

func (d *diff) configuration(before, after lb.Status) {
	d.edge(Configuration, before.Revision, after.Revision, fmt.Sprintf("configuration %s is in force, it was %s", after.Revision, before.Revision))
	was, is := before.Pending, after.Pending
	switch {
	case was.Trial.Equal(is.Trial):
	case !is.Trial.IsZero():
		d.add(Event{Kind: Trial, After: "on", Text: "configuration " + after.Revision + " is on trial until " + is.Trial.UTC().Format(time.RFC3339)})
	case before.Revision == after.Revision:
		d.add(Event{Kind: Trial, Before: "on", After: "kept", Text: "configuration " + after.Revision + " stays: its trial is over"})
	default:
		d.add(Event{Kind: Trial, Before: "on", After: "reverted", Text: "configuration " + before.Revision + " was on trial and is not in force any more"})
	}
	if was.Changes == is.Changes && was.Author == is.Author {
		return
	}
	text := "no changes are pending any more"
	if is.Changes > 0 {
		text = fmt.Sprintf("changes pending: %d, the latest by %s", is.Changes, is.Author)
	}
	d.add(Event{Kind: Draft, Before: fmt.Sprint(was.Changes), After: fmt.Sprint(is.Changes), Text: text})
}

// pairs walks two lists by name: what is in one only comes with nil for the other. Lists in
// the same order, as they nearly always are, cost nothing.
func pairs[T any](before, after []T, name func(*T) string, each func(was, is *T)) {
	same := len(before) == len(after)
	for i := 0; same && i < len(before); i++ {
		same = name(&before[i]) == name(&after[i])
	}
	if same {
		for i := range after {
			each(&before[i], &after[i])
		}
		return
	}
	left := make(map[string]*T, len(before))
	for i := range before {
		left[name(&before[i])] = &before[i]
	}
	for i := range after {
		key := name(&after[i])
		each(left[key], &after[i])
		delete(left, key)
	}
	for i := range before {
		if left[name(&before[i])] == &before[i] {
			each(&before[i], nil)
		}
	}
}

func (d *diff) services(before, after []lb.ServiceStatus) {
	pairs(before, after, func(s *lb.ServiceStatus) string { return s.Name }, func(was, is *lb.ServiceStatus) {
		var name string
		var old, now []lb.RealStatus
		if was != nil {
			name, old = was.Name, was.Reals
		}
		if is != nil {
			name, now = is.Name, is.Reals
		}
		if before, after := health(was), health(is); before != after {
			d.add(Event{Kind: Service, Service: name, Before: before, After: after, Text: serviceText(name, is)})
		}
		pairs(old, now, func(r *lb.RealStatus) string { return r.Name }, func(was, is *lb.RealStatus) { d.server(name, was, is) })
	})
}

// taking counts the servers of a service that take new clients.
func taking(s *lb.ServiceStatus) int {
	n := 0
	for i := range s.Reals {
		if s.Reals[i].State.TakesNewClients() {
			n++
		}
	}
	return n
}

func health(s *lb.ServiceStatus) string {
	if s == nil {
		return ""
	}
	switch n := taking(s); {
	case n == 0:
		return "down"
	case n < len(s.Reals):
		return "partly"
	}
	return "healthy"
}

func serviceText(name string, s *lb.ServiceStatus) string {
	if s == nil {
		return "VIP " + name + " is removed"
	}
	if n := taking(s); n > 0 {
		return fmt.Sprintf("VIP %s: %d of %d real servers take clients", name, n, len(s.Reals))
	}
	return "VIP " + name + ": no real server takes clients"
}

func (d *diff) server(service string, was, is *lb.RealStatus) {
	e := Event{Kind: Server, Service: service}
	if was != nil {
		e.Server, e.Before = was.Name, was.State.String()
	}
	if is != nil {
		e.Server, e.After = is.Name, is.State.String()
	}
	if e.Before == e.After {
		return
	}
	e.Text = fmt.Sprintf("RIP %s of VIP %s is %s", e.Server, service, e.After)
	switch {
	case is == nil:
		e.Text = fmt.Sprintf("RIP %s of VIP %s is removed", e.Server, service)
	case is.Why != "":
		e.Text += ": " + is.Why
	}
	d.add(e)
}

func (d *diff) problems(before, after []string) {
	if slices.Equal(before, after) {
		return
	}
	for _, p := range after {
		if !slices.Contains(before, p) {
			d.add(Event{Kind: Problem, After: "appeared", Text: p})
		}
	}
	for _, p := range before {
		if !slices.Contains(after, p) {
			d.add(Event{Kind: Problem, Before: "appeared", After: "gone", Text: p})
		}
	}
}
