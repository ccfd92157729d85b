package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Times of a session.
const (
	// gather is how long changes are collected into one frame: a tenth of the lag
	// that replication may have.
	gather    = 5 * time.Millisecond
	keepalive = 3 * time.Second
	// silence ends a connection: three keepalives.
	silence = 3 * keepalive
	// perTurn bounds the frames of entries between two looks at everything else: a
	// stream of new clients must not hold back acknowledgements, clearings and documents.
	perTurn = 16
)

const protocol = 1

// hello opens each direction.
type hello struct {
	Version int
	Node    string
	Tables  []string
}

// session is one connection.
type session struct {
	r    *Replicator
	conn net.Conn

	mu     sync.Mutex
	seq    uint64
	unack  []sent // oldest first
	repair uint64 // the last frame of a repair, 0 = none is under way
	ack    uint64 // highest applied, to be told
	acked  uint64 // highest told
	synced bool
	wake   chan struct{}
	order  order
}

// sent is a frame that the peer has not acknowledged: its number and when its
// oldest change was made.
type sent struct {
	seq   uint64
	since time.Time
}

func newSession(r *Replicator, conn net.Conn) *session {
	return &session{r: r, conn: conn, wake: make(chan struct{}, 1)}
}

// run serves both directions until one ends.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	written := make(chan error, 1)
	go func() {
		err := s.write(ctx)
		cancel()
		written <- err
	}()
	err := s.readAll(ctx)
	cancel()
	return errors.Join(err, <-written)
}

func (s *session) write(ctx context.Context) error {
	h := hello{Version: protocol, Node: s.r.cfg.Node}
	for _, t := range s.r.tables {
		h.Tables = append(h.Tables, t.Name)
	}
	if err := s.sendJSON(frameHello, h); err != nil {
		return err
	}
	// Before the tables: who is in sync knows the operator's wishes too.
	if err := s.sendDocuments(true); err != nil {
		return err
	}
	// Changes made meanwhile wait in the outbox, which has been open since before.
	if err := s.tables(ctx, s.sendDue); err != nil {
		return err
	}
	if err := s.send(frameEnd, nil); err != nil {
		return err
	}
	return s.stream(ctx)
}

// tables sends every entry of every table and calls between now and then.
func (s *session) tables(ctx context.Context, between func() error) error {
	defer s.reading(false)
	for _, t := range s.r.tables {
		s.reading(true)
		read := time.Now()
		all, err := t.Face.Export(ctx)
		if err != nil {
			return fmt.Errorf("export table %s for the peer: %w", t.Name, err)
		}
		for frames := 1; len(all) > 0; frames++ {
			n := min(batch, len(all))
			part := all[:n]
			all = all[n:]
			now := time.Now()
			for i := range part { // an entry ages while it waits for its turn
				part[i].Idle += now.Sub(read)
			}
			if err := s.sendPart(t.Name, part, now); err != nil {
				return err
			}
			if frames%perTurn != 0 {
				continue
			}
			if err := between(); err != nil {
				return err
			}
		}
	}
	return nil
}

// stream sends what changes, acknowledgements and keepalives.
func (s *session) stream(ctx context.Context) error {
	alive := time.NewTicker(keepalive)
	defer alive.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			err = s.sendDue()
		case <-s.r.news:
			err = s.sendDocuments(false)
		case <-alive.C:
			s.r.out.rearm() // a repair may be due
			err = s.send(framePing, nil)
		case <-s.r.out.notify:
			err = s.changes(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// changes sends what has changed, and what was lost once nothing waits.
func (s *session) changes(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(gather):
	}
	if err := s.deltas(); err != nil {
		return err
	}
	switch {
	case !s.r.out.empty():
		s.r.out.rearm()
	case s.r.out.beginRepair(time.Now()):
		return s.sendAgain(ctx)
	}
	return nil
}

// deltas sends a turn's share of the changes that wait.
func (s *session) deltas() error {
	for range perTurn {
		if more, err := s.sendDelta(); err != nil || !more {
			return err
		}
	}
	return s.sendDue()
}

// take numbers the next changes. Whoever asks meanwhile finds them waiting or not
// acknowledged, never neither.
func (s *session) take() (table string, entries []lb.PersistenceEntry, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	table, entries, since := s.r.out.take(time.Now())
	if len(entries) == 0 {
		return "", nil, 0
	}
	s.seq++
	s.unack = append(s.unack, sent{s.seq, since})
	return table, entries, s.seq
}

// sendAgain repairs what found no room in the outbox.
func (s *session) sendAgain(ctx context.Context) error {
	if err := s.tables(ctx, s.deltas); err != nil {
		return err
	}
	s.mu.Lock()
	s.repair = s.seq + 1 // the number of the ping that ends it
	s.mu.Unlock()
	return s.send(framePing, nil)
}

func (s *session) sendJSON(kind byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a replication message: %w", err)
	}
	return s.send(kind, func(b []byte) []byte { return append(b, body...) })
}

// send writes one numbered frame.
func (s *session) send(kind byte, body func([]byte) []byte) error {
	return s.put(newFrame(kind, s.number(), body))
}

// number is that of the next frame; the writer puts frames in the order of their numbers.
func (s *session) number() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	return s.seq
}

func (s *session) put(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return fmt.Errorf("write to the peer: %w", err)
	}
	if _, err := s.conn.Write(b); err != nil {
		return fmt.Errorf("write to the peer: %w", err)
	}
	return nil
}

func (s *session) readAll(ctx context.Context) error {
	in := bufio.NewReaderSize(s.conn, 64<<10)
	var (
		buf  []byte
		last uint64
	)
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return fmt.Errorf("read from the peer: %w", err)
		}
		f, reuse, err := readFrame(in, buf)
		if err != nil {
			return fmt.Errorf("read from the peer: %w", err)
		}
		buf = reuse
		if f.kind == frameAck {
			s.acknowledged(f.seq)
			continue
		}
		if f.seq != last+1 {
			return fmt.Errorf("%w: number %d after %d", errFrame, f.seq, last)
		}
		last = f.seq
		if err := s.handle(ctx, f); err != nil {
			return err
		}
		s.applied(f.seq)
	}
}

func (s *session) handle(ctx context.Context, f frame) error {
	if (f.seq == 1) != (f.kind == frameHello) {
		return fmt.Errorf("%w: kind %d at number %d", errFrame, f.kind, f.seq)
	}
	switch f.kind {
	case frameHello:
		return s.greeted(f.body)
	case frameSnapshot, frameDelta:
		return s.entries(ctx, f.body)
	case frameEnd:
		s.mu.Lock()
		s.synced = true
		s.mu.Unlock()
		s.r.changed()
		return nil
	case frameClear:
		return s.clear(ctx, f)
	case frameDocument:
		return s.document(ctx, f.body)
	case framePing:
		return nil
	}
	return fmt.Errorf("%w: kind %d", errFrame, f.kind)
}

func (s *session) greeted(body []byte) error {
	var h hello
	if err := json.Unmarshal(body, &h); err != nil {
		return fmt.Errorf("decode the peer's greeting: %w", err)
	}
	if h.Version != protocol {
		return fmt.Errorf("the peer speaks replication version %d, this node %d: update the older one", h.Version, protocol)
	}
	return nil
}

func (s *session) entries(ctx context.Context, body []byte) error {
	table, entries, err := decodeEntries(body)
	if err != nil {
		return err
	}
	t, ok := s.r.table(table)
	if !ok {
		return nil // a table that this node does not have
	}
	s.order.mu.Lock()
	defer s.order.mu.Unlock()
	entries = s.older(table, entries)
	// Learn first: the import itself may come back by the table's stream.
	s.r.out.learn(table, entries, time.Now())
	if err := t.Face.Import(ctx, entries); err != nil {
		return fmt.Errorf("import %d entries of the peer into table %s: %w", len(entries), table, err)
	}
	s.r.received.Add(uint64(len(entries)))
	return nil
}

// applied wakes the writer to acknowledge.
func (s *session) applied(seq uint64) {
	s.mu.Lock()
	s.ack = seq
	s.mu.Unlock()
	s.rouse()
}

// rouse wakes the writer.
func (s *session) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) acknowledged(seq uint64) {
	s.confirmed(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.unack) && s.unack[n].seq <= seq {
		n++
	}
	s.unack = s.unack[n:]
	if s.repair != 0 && s.repair <= seq {
		s.repair = 0
		s.r.out.endRepair()
	}
}

// oldest is when the oldest change was made that the peer has not acknowledged, zero
// = it has all. synced: the peer's tables have arrived here.
func (s *session) oldest() (since time.Time, synced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since = s.r.out.waiting()
	if len(s.unack) > 0 && (since.IsZero() || s.unack[0].since.Before(since)) {
		since = s.unack[0].since
	}
	return since, s.synced
}
