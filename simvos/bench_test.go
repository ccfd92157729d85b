package simvos_test

import (
	"testing"

	"github.com/vosbed/vosbed/simvos/control"
)

// BenchmarkProbeUDP is one probe after the other: the round trip through the
// responder and two network stacks.
func BenchmarkProbeUDP(b *testing.B) {
	l := newLab(b, nil)
	conn := l.dial(b, "udp", vip, 60000)
	req := control.ProbeRequest{}.AppendTo(nil)
	buf := make([]byte, control.ProbeReplySize)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(req); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
