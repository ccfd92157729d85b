package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// maxClearings bounds those that the peer has not confirmed: one for each service of an
// appliance in both layers, twice.
const maxClearings = 4 * lb.MaxServices

// clearing asks the peer to remove entries from a table.
type clearing struct {
	Table string
	Sel   dataplane.Selector
}

func (c clearing) matches(k entryKey, server string) bool {
	return c.Table == k.table && (c.Sel.Service == "" || c.Sel.Service == k.service) &&
		(c.Sel.Server == "" || c.Sel.Server == server) && (!c.Sel.Client.IsValid() || c.Sel.Client == k.client)
}

// order keeps clearings and entries in one order at both ends. Without it an entry that
// was read before a clearing could leave, or arrive, after it and bring itself back.
//
// Whatever reads or changes a table for the peer does so with the lock held, and what
// leaves is put together with it: the acknowledgement of what was applied before, the
// clearings made before, and only then entries. So a node that clears may drop matching
// entries until the peer has acknowledged: they are older than the clearing there. Nothing
// waits for the network with the lock held.
type order struct {
	mu     sync.Mutex
	mine   []*unconfirmed // made here, oldest first
	since  []clearing     // by either node, since the table that is being sent was read
	export bool           // such a table is being sent
}

// unconfirmed is a clearing made here; seq is the number of its frame, 0 = none yet.
type unconfirmed struct {
	clearing

	ready bool // to be sent
	seq   uint64
}

// Clear removes entries here and asks the peer to, for an operator's clearing that must
// reach both nodes. It reports whether a peer is connected; nothing else can be promised.
// It takes as long as tables need to report what changed before.
func (r *Replicator) Clear(ctx context.Context, table string, sels ...dataplane.Selector) bool {
	r.mu.Lock()
	s := r.current
	r.mu.Unlock()
	if s == nil {
		return false
	}
	t, ok := r.table(table)
	if !ok {
		return true // a table that no node of this pair has
	}
	begun, ok := s.begin(table, sels)
	if !ok {
		return false
	}
	select {
	case <-ctx.Done(): // the peer is told all the same
	case <-time.After(settle):
	}
	for _, c := range begun {
		if !s.clearHere(ctx, t, c) {
			return false
		}
	}
	return true
}

// begin lets nothing in any more that clearings match. Those of what arrived before,
// which tables may report a little later, are for clearHere to forget.
func (s *session) begin(table string, sels []dataplane.Selector) ([]*unconfirmed, bool) {
	s.order.mu.Lock()
	defer s.order.mu.Unlock()
	if len(s.order.mine)+len(sels) > maxClearings {
		return nil, false
	}
	begun := make([]*unconfirmed, len(sels))
	for i, sel := range sels {
		begun[i] = &unconfirmed{clearing: clearing{table, sel}}
	}
	s.order.mine = append(s.order.mine, begun...)
	return begun, true
}

// clearHere clears, and lets the peer be told.
func (s *session) clearHere(ctx context.Context, t Table, c *unconfirmed) bool {
	s.order.mu.Lock()
	defer s.order.mu.Unlock()
	_, err := t.Face.Clear(ctx, c.Sel)
	s.cleared(c.clearing)
	c.ready = true
	s.rouse()
	return err == nil
}

// cleared notes a clearing of either node. It is called with the order held.
func (s *session) cleared(c clearing) {
	s.r.out.forget(c, time.Now())
	if s.order.export {
		s.order.since = append(s.order.since, c)
	}
}

// clear is the peer's clearing; what is sent after its acknowledgement is younger.
func (s *session) clear(ctx context.Context, f frame) error {
	var c clearing
	if err := json.Unmarshal(f.body, &c); err != nil {
		return fmt.Errorf("decode the peer's clearing: %w", err)
	}
	t, ok := s.r.table(c.Table)
	if !ok {
		return nil
	}
	s.order.mu.Lock()
	defer s.order.mu.Unlock()
	if _, err := t.Face.Clear(ctx, c.Sel); err != nil {
		return fmt.Errorf("clear entries of table %s for the peer: %w", c.Table, err)
	}
	s.cleared(c)
	s.applied(f.seq)
	return nil
}

// older drops entries of the peer that it sent before it knew of a clearing made here. It
// is called with the order held.
func (s *session) older(table string, entries []lb.PersistenceEntry) []lb.PersistenceEntry {
	for _, c := range s.order.mine {
		entries = without(c.clearing, table, entries)
	}
	return entries
}

func without(c clearing, table string, entries []lb.PersistenceEntry) []lb.PersistenceEntry {
	return slices.DeleteFunc(entries, func(e lb.PersistenceEntry) bool {
		return c.matches(entryKey{table, e.Service, e.Client}, e.Server)
	})
}

// confirmed forgets the clearings that the peer has applied.
func (s *session) confirmed(seq uint64) {
	s.order.mu.Lock()
	defer s.order.mu.Unlock()
	s.order.mine = slices.DeleteFunc(s.order.mine, func(c *unconfirmed) bool { return c.seq != 0 && c.seq <= seq })
}

// reading begins and ends the sending of a table.
func (s *session) reading(begun bool) {
	s.order.mu.Lock()
	defer s.order.mu.Unlock()
	s.order.export, s.order.since = begun, nil
}

// sendPart sends a part of a table that was read a while ago, without what has been
// cleared since. A younger entry that is dropped with it waits in the outbox.
func (s *session) sendPart(table string, part []lb.PersistenceEntry, now time.Time) error {
	return s.inOrder(func() []byte {
		for _, c := range s.order.since {
			part = without(c, table, part)
		}
		if len(part) == 0 {
			return nil
		}
		s.r.out.learn(table, part, now)
		s.r.sent.Add(uint64(len(part)))
		return newFrame(frameSnapshot, s.number(), func(b []byte) []byte { return appendEntries(b, table, part) })
	})
}

// sendDelta sends the next changes; more is false if none waited.
func (s *session) sendDelta() (more bool, err error) {
	err = s.inOrder(func() []byte {
		table, entries, seq := s.take()
		if more = len(entries) > 0; !more {
			return nil
		}
		s.r.sent.Add(uint64(len(entries)))
		return newFrame(frameDelta, seq, func(b []byte) []byte { return appendEntries(b, table, entries) })
	})
	return more, err
}

// sendDue sends what must leave before anything else.
func (s *session) sendDue() error { return s.inOrder(func() []byte { return nil }) }

// inOrder sends what is due, and then the frame that entries makes, if it makes one.
func (s *session) inOrder(entries func() []byte) error {
	s.order.mu.Lock()
	frames, err := s.due()
	if err == nil {
		if b := entries(); b != nil {
			frames = append(frames, b)
		}
	}
	s.order.mu.Unlock()
	if err != nil {
		return err
	}
	for _, b := range frames {
		if err := s.put(b); err != nil {
			return err
		}
	}
	return nil
}

// due are the acknowledgement and the clearings that must leave before anything else. It
// is called with the order held.
func (s *session) due() ([][]byte, error) {
	frames := s.ackFrame()
	for _, c := range s.order.mine {
		if !c.ready || c.seq != 0 {
			continue
		}
		body, err := json.Marshal(c.clearing)
		if err != nil {
			return nil, fmt.Errorf("encode a clearing for the peer: %w", err)
		}
		c.seq = s.number()
		frames = append(frames, newFrame(frameClear, c.seq, func(b []byte) []byte { return append(b, body...) }))
	}
	return frames, nil
}

// ackFrame is empty if everything has been acknowledged.
func (s *session) ackFrame() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ack <= s.acked {
		return nil
	}
	s.acked = s.ack
	return [][]byte{newFrame(frameAck, s.ack, nil)}
}
