package peer_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/lb"
)

func secret(c byte) []byte { return bytes.Repeat([]byte{c}, peer.MinSecret) }

func codec(tb testing.TB, node string, key byte) *peer.Codec {
	tb.Helper()
	c, err := peer.NewCodec(secret(key), node, 2)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func seal(c *peer.Codec, s ha.State) []byte { return c.Seal(make([]byte, peer.HeartbeatLen), s) }

func someState() ha.State {
	return ha.State{
		Node: "lb1", Seat: lb.Secondary, Role: lb.Active, Term: 7, InSync: true, Serviceable: true,
		PingAge: 1500 * time.Microsecond, Intent: ha.IntentHandOver, Dead: 300 * time.Millisecond,
	}
}

// meet lets two codecs greet each other until both know the other's nonce.
func meet(t *testing.T, a, b *peer.Codec) {
	t.Helper()
	first := seal(a, someState())
	if _, err := b.Open(first, 0); !errors.Is(err, peer.ErrStale) {
		t.Fatalf("a first heartbeat proves nothing, got %v", err)
	}
	greeting := b.Greet(make([]byte, peer.HeartbeatLen), ha.State{Seat: lb.Primary, PingAge: ha.NoPing}, first)
	o, err := a.Open(greeting, 0)
	if err != nil || !o.First {
		t.Fatalf("greeting: %+v, %v", o, err)
	}
	if o, err = b.Open(seal(a, someState()), 0); err != nil || !o.First {
		t.Fatalf("answer: %+v, %v", o, err)
	}
}

func TestHeartbeatCarriesTheState(t *testing.T) {
	a, b := codec(t, "lb1", 1), codec(t, "lb2", 1)
	meet(t, a, b)
	packet := seal(a, someState())
	for path := range 2 {
		o, err := b.Open(packet, path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(peer.Opened{State: someState(), Old: path == 1}, o); d != "" {
			t.Error(d)
		}
	}
}

func TestHeartbeatRejects(t *testing.T) {
	a, b := codec(t, "lb1", 1), codec(t, "lb2", 1)
	meet(t, a, b)
	older, packet := seal(a, someState()), seal(a, someState())
	if _, err := b.Open(packet, 0); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(seal(a, someState()))
	flipped[16] ^= 1
	for name, tc := range map[string]struct {
		packet []byte
		want   error
	}{
		"wrong key": {seal(codec(t, "lb1", 2), someState()), peer.ErrKey},
		"flipped":   {flipped, peer.ErrKey},
		"replay":    {packet, peer.ErrReplayed},
		"older":     {older, peer.ErrReplayed},
		"own":       {seal(b, someState()), peer.ErrReflected},
		"same name": {seal(codec(t, "lb2", 1), someState()), peer.ErrReflected},
		"new life":  {seal(codec(t, "lb1", 1), someState()), peer.ErrStale},
		"short":     {packet[:40], peer.ErrMalformed},
		"empty":     {nil, peer.ErrMalformed},
	} {
		if _, err := b.Open(tc.packet, 0); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if _, err := b.Open(seal(a, someState()), 0); err != nil {
		t.Errorf("rejects disturbed the session: %v", err)
	}
}

// TestRestartedPeerIsKnownInOneRoundTrip: the survivor's own heartbeats go on to
// echo the old life until the new one has proved itself.
func TestRestartedPeerIsKnownInOneRoundTrip(t *testing.T) {
	a, b := codec(t, "lb1", 1), codec(t, "lb2", 1)
	meet(t, a, b)
	old := seal(a, someState())
	again := codec(t, "lb1", 1)
	meet(t, again, b)
	if _, err := b.Open(old, 1); err == nil {
		t.Error("a heartbeat of the earlier life was accepted")
	}
	if _, err := again.Open(seal(b, ha.State{PingAge: ha.NoPing}), 1); err != nil {
		t.Error(err)
	}
}

func TestShortSecretIsRefused(t *testing.T) {
	if _, err := peer.NewCodec([]byte("short"), "lb1", 1); err == nil {
		t.Error("a short secret must be refused")
	}
}

func FuzzHeartbeat(f *testing.F) {
	a := codec(f, "lb1", 1)
	f.Add(seal(a, someState()), 0)
	f.Add([]byte("VSHB"), 1)
	f.Fuzz(func(t *testing.T, b []byte, path int) {
		o, err := codec(t, "lb2", 1).Open(b, path)
		if err == nil {
			t.Fatalf("a fresh codec accepted %+v", o)
		}
	})
}

// TestManyLivesOfThePeer: no recording of any of them is ever taken for the peer,
// however many there were, and the present one is heard.
func TestManyLivesOfThePeer(t *testing.T) {
	b := codec(t, "lb2", 1)
	var recording []byte
	for i := range 1100 {
		a := codec(t, "lb1", 1)
		for seen := false; !seen; {
			packet := seal(a, someState())
			_, err := b.Open(packet, 0)
			seen = err == nil
			if err != nil && !errors.Is(err, peer.ErrStale) {
				t.Fatal(err)
			}
			// Open fails on what echoes a nonce that b has replaced: a is greeted again.
			_, _ = a.Open(b.Greet(make([]byte, peer.HeartbeatLen), ha.State{Seat: lb.Primary, PingAge: ha.NoPing}, packet), 0)
			if i == 0 && seen {
				recording = packet
			}
		}
		if _, err := b.Open(recording, 1); i > 0 && err == nil {
			t.Fatalf("a recording of the first life was accepted in life %d", i)
		}
	}
}

func TestDeadIsNeverToldShorter(t *testing.T) {
	a, b := codec(t, "lb1", 1), codec(t, "lb2", 1)
	meet(t, a, b)
	for _, d := range []time.Duration{0, time.Microsecond, 30 * time.Millisecond, 2500 * time.Microsecond, 10 * time.Minute} {
		s := someState()
		s.Dead = d
		o, err := b.Open(seal(a, s), 0)
		if err != nil || o.State.Dead < d || o.State.Dead >= d+time.Millisecond {
			t.Errorf("%v arrived as %v, %v", d, o.State.Dead, err)
		}
	}
}
