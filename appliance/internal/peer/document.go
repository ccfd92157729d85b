package peer

import (
	"context"
	"fmt"
	"sync/atomic"
)

// MaxPart is the greatest length of one part of a document in bytes.
const MaxPart = maxFrame - 1 - maxName

// Document is something small that both nodes hold whole, such as the operator's
// overrides; both know it by the same name. It must merge: parts arrive in any order,
// more than once, and from an older state after a newer one.
type Document struct {
	Name string
	Face Shared
}

// Shared is what a document must offer.
type Shared interface {
	// Parts encode the whole document, each at most MaxPart bytes.
	Parts() ([][]byte, error)
	// Merge takes one part of the peer's. An error is logged and the link goes on.
	Merge(ctx context.Context, part []byte) error
	// Changed delivers after a change made on this node.
	Changed() <-chan struct{}
}

type document struct {
	Document
	dirty atomic.Bool
}

// watchDocument notes changes for the session, if there is one: a new one begins with
// whole documents.
func (r *Replicator) watchDocument(ctx context.Context, d *document) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.Face.Changed():
			d.dirty.Store(true)
			select {
			case r.news <- struct{}{}:
			default:
			}
		}
	}
}

// sendDocuments sends those that changed, or all.
func (s *session) sendDocuments(all bool) error {
	for _, d := range s.r.documents {
		if !d.dirty.Swap(false) && !all {
			continue
		}
		parts, err := d.Face.Parts()
		if err != nil {
			return fmt.Errorf("encode %s for the peer: %w", d.Name, err)
		}
		for _, p := range parts {
			if len(p) > MaxPart {
				return fmt.Errorf("a part of %s has %d bytes, more than %d", d.Name, len(p), MaxPart)
			}
			if err := s.send(frameDocument, func(b []byte) []byte { return append(appendName(b, d.Name), p...) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// document merges a part of the peer's. A part that is not understood may come from
// a newer version: it costs this document, not the link.
func (s *session) document(ctx context.Context, body []byte) error {
	r := &reader{b: body}
	name := r.name()
	if r.bad {
		return fmt.Errorf("%w: a document without a name", errFrame)
	}
	for _, d := range s.r.documents {
		if d.Name != name {
			continue
		}
		if err := d.Face.Merge(ctx, r.b); err != nil {
			s.r.cfg.Logger.ErrorContext(ctx, "the peer's document not merged", "document", name, "err", err)
		}
	}
	return nil
}
