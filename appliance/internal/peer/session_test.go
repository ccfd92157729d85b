package peer

import (
	"net"
	"testing"
	"time"
)

// A turn of changes is bounded, tells what has been applied, and is followed by another.
func TestATurnIsBounded(t *testing.T) {
	here, there := net.Pipe()
	r := &Replicator{out: newOutbox()}
	r.out.reset(true, time.Now())
	r.out.offer("l4", clients(0, 3*perTurn*batch, "HT1"), time.Now())
	<-r.out.notify
	s := newSession(r, here)
	s.ack = 7
	kinds := make(chan []byte)
	go func() {
		var got []byte
		for {
			f, _, err := readFrame(there, nil)
			if err != nil {
				kinds <- got
				return
			}
			got = append(got, f.kind)
		}
	}()
	if err := s.changes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := here.Close(); err != nil {
		t.Fatal(err)
	}
	got := <-kinds
	if len(got) != perTurn+1 || got[0] != frameAck || got[perTurn] != frameDelta {
		t.Errorf("one turn is %v, want %d and then %d of %d", got, frameAck, perTurn, frameDelta)
	}
	select {
	case <-r.out.notify:
	default:
		t.Error("the rest waits for the next change")
	}
}
