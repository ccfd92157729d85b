package appliance

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Why nothing is replicated is told until it changes.
func TestReplicationTellsItsProblem(t *testing.T) {
	r := &replication{restart: make(chan struct{}, 1)}
	told := func() string {
		_, problem := r.status()
		return problem
	}
	if got := told(); got != "" {
		t.Errorf("a problem before anything was tried: %s", got)
	}
	r.failed(errors.New("the address is taken"))
	rep, err := peer.NewReplicator(peer.ReplicatorConfig{
		Node: "lb1", Seat: lb.Primary, Local: netip.MustParseAddrPort("127.0.0.1:7778"), Peer: netip.MustParseAddrPort("127.0.0.2:7778"),
		Secret: make([]byte, peer.MinSecret), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.publish(rep) // the next try is under way
	if got := told(); !strings.Contains(got, "taken") {
		t.Errorf("the problem is %q", got)
	}
	r.configure(lb.Config{}, nil)
	if got := told(); got != "" {
		t.Errorf("a problem of another configuration: %s", got)
	}
}

// With nothing to replicate, or nobody to replicate to, a switchover has nothing to wait
// for, or no reason to begin.
func TestFlushWithoutAPeer(t *testing.T) {
	r := &replication{restart: make(chan struct{}, 1)}
	if err := r.flush(t.Context()); err != nil {
		t.Errorf("nothing is replicated: %v", err)
	}
	r.configure(lb.Config{Cluster: lb.Cluster{Paired: true, Replicate: true}}, nil)
	if err := r.flush(t.Context()); err == nil {
		t.Error("nobody is connected")
	}
}
