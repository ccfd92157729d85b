package sentinel

import (
	"bytes"
	"errors"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/internal/peer"
)

// rekey makes the codecs of a new configuration, before anything of it is adopted.
//
// The two nodes of a pair learn of a new secret one after the other. Until the peer
// is heard by the new one, the one by which it could be heard before goes on, in both
// directions: else there were two owners in between.
func (l *loop) rekey(c Config) error {
	if !c.Cluster.Paired {
		l.codec, l.former, l.formerSecret = nil, nil, nil
		return nil
	}
	codec, err := peer.NewCodec(c.Secret, c.Node.Name, len(c.Node.Paths))
	if err != nil {
		return err
	}
	secret := l.formerSecret
	switch {
	case secret != nil:
	case l.codec != nil:
		secret = l.cfg.Secret
	default:
		secret = c.Former
	}
	l.agreed = false
	l.codec, l.former, l.formerSecret = codec, nil, nil
	if secret == nil || bytes.Equal(secret, c.Secret) {
		return nil
	}
	l.formerSecret = secret
	l.former, err = peer.NewCodec(secret, c.Node.Name, len(c.Node.Paths))
	return err
}

// reopenPaths opens the heartbeat sockets anew.
func (l *loop) reopenPaths() error {
	var errs []error
	for _, p := range l.paths {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	paths := l.cfg.Node.Paths
	l.paths, l.greeted, l.reject = nil, make([]time.Duration, len(paths)), make([]rejects, len(paths))
	if !l.cfg.Cluster.Paired {
		return errors.Join(errs...)
	}
	l.nextOpen = now() + reopenEvery
	for _, p := range paths {
		s, err := peer.OpenPath(p) // nil = could not be opened
		l.paths = append(l.paths, s)
		l.missing = l.missing || err != nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l *loop) readPath(i int) {
	for range perTurn {
		n, foreign, err := l.paths[i].Recv(l.buf)
		switch {
		case errors.Is(err, peer.ErrEmpty):
			return
		case err != nil:
			continue // an ICMP error of an earlier send; the next call is empty
		case foreign:
			l.rejected(i, errForeign)
			continue
		}
		l.open(i, l.buf[:n])
	}
}

func (l *loop) open(i int, packet []byte) {
	codec := l.codec
	o, err := codec.Open(packet, i)
	if errors.Is(err, peer.ErrKey) && l.former != nil {
		codec = l.former
		o, err = codec.Open(packet, i)
	}
	switch {
	case errors.Is(err, peer.ErrStale):
		l.greet(codec, i, packet)
		return
	case err != nil:
		l.rejected(i, err)
		return
	}
	if codec == l.codec {
		l.agreed = true
	}
	if codec == l.codec && l.former != nil {
		l.former, l.formerSecret = nil, nil
		l.note("the peer uses the new pairing secret: the former one is forgotten", nil)
	}
	t := now()
	l.step(ha.Heartbeat{Path: i, Peer: o.State, Old: o.Old}, t)
	if o.First {
		l.greeted[i] = 0
		l.greet(codec, i, packet)
	}
}

// greet answers a peer that does not know this process yet, at once but not more
// often than a quarter of the heartbeat period: recorded packets cannot be told
// from a new peer's first ones.
func (l *loop) greet(codec *peer.Codec, i int, packet []byte) {
	t := now()
	if l.stalled || t-l.greeted[i] < l.cfg.Cluster.Timers.Heartbeat/4 {
		return
	}
	l.greeted[i] = t
	_ = l.paths[i].Send(codec.Greet(l.beat[:], l.machine.State(t), packet))
}

func (l *loop) send(s ha.State) {
	for _, codec := range [...]*peer.Codec{l.codec, l.former} {
		if codec == nil {
			continue
		}
		b := codec.Seal(l.beat[:], s)
		for _, p := range l.paths {
			if p != nil {
				_ = p.Send(b) // a path that cannot send is a silent path: the peer judges
			}
		}
	}
}
