package probe

import (
	"net"
	"testing"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/identity"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
)

// connected returns both ends of a connection; the server's has short deadlines.
func connected(t *testing.T) (client *net.TCPConn, server conn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	tcp, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	return client, conn{tcp, 100 * time.Millisecond, 100 * time.Millisecond}
}

// TestSilentClientsAreLetGo leaves the responders alone with clients that neither read
// nor write on: each must give its goroutine back.
func TestSilentClientsAreLetGo(t *testing.T) {
	id, err := identity.New("HT1", 115, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var l ledger.Ledger
	shared := Shared{Identity: id, Ledger: &l, Faults: &control.FaultBoard{}}
	bulk := &Bulk{Shared: shared, data: make([]byte, bulkChunk)}
	probes := &TCP{Shared: shared}
	for _, tt := range []struct {
		name  string
		serve func(conn)
		says  []byte // again and again, as long as somebody reads it
		once  bool
	}{
		{"asks nothing", probes.answer, nil, true},
		{"takes no answers", probes.answer, control.ProbeRequest{}.AppendTo(nil), false},
		{"says not what it wants", bulk.transfer, nil, true},
		{"stops sending", bulk.transfer, control.BulkRequest{Mode: control.Upload, Bytes: 1 << 20}.AppendTo(nil), true},
		{"takes no data", bulk.transfer, control.BulkRequest{Mode: control.Download}.AppendTo(nil), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, server := connected(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				tt.serve(server)
				server.Close()
			}()
			for more := true; more; {
				_, err := client.Write(tt.says)
				more = err == nil && !tt.once
			}
			<-done
		})
	}
	for proto, c := range l.Totals() {
		if c.Active != 0 {
			t.Errorf("%s: %+v, want none active", proto, c)
		}
	}
}
