package sentinel

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func testProber() *prober {
	return &prober{
		nodes: []netip.Addr{netip.MustParseAddr("192.168.94.1"), netip.MustParseAddr("fd00:94::1")},
		token: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, id: 0x0102,
	}
}

// reply4 turns a request into the answer as a raw IPv4 socket delivers it.
func reply4(p *prober) []byte {
	ip := make([]byte, 20, 20+echoLen)
	ip[0] = 0x45
	icmp := p.request(make([]byte, echoLen), echoRequest4)
	icmp[0] = echoReply4
	return append(ip, icmp...)
}

func TestPingAnswers(t *testing.T) {
	p := testProber()
	node4 := &unix.SockaddrInet4{Addr: [4]byte{192, 168, 94, 1}}
	node6 := &unix.SockaddrInet6{Addr: netip.MustParseAddr("fd00:94::1").As16()}
	reply6 := p.request(make([]byte, echoLen), echoReply6)
	other := testProber()
	other.token[7]++
	wrongKind := reply4(p)
	wrongKind[20] = echoRequest4
	for name, tc := range map[string]struct {
		packet []byte
		from   unix.Sockaddr
		want   string
	}{
		"v4":              {reply4(p), node4, "192.168.94.1"},
		"v6":              {reply6, node6, "fd00:94::1"},
		"not a ping node": {reply4(p), &unix.SockaddrInet4{Addr: [4]byte{192, 168, 94, 2}}, "invalid IP"},
		"not our token":   {reply4(other), node4, "invalid IP"},
		"a request":       {wrongKind, node4, "invalid IP"},
		"cut":             {reply4(p)[:30], node4, "invalid IP"},
		"empty":           {nil, node4, "invalid IP"},
		"no source":       {reply4(p), nil, "invalid IP"},
	} {
		if got := p.answer(tc.packet, tc.from).String(); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestRequestChecksum(t *testing.T) {
	b := testProber().request(make([]byte, echoLen), echoRequest4)
	if sum := checksum(b); sum != 0 {
		t.Errorf("the checksum over a correct packet is %#x, want 0", sum)
	}
}

func FuzzPingAnswer(f *testing.F) {
	p := testProber()
	f.Add(reply4(p))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := p.answer(b, &unix.SockaddrInet4{Addr: [4]byte{192, 168, 94, 1}})
		if a.IsValid() && len(b) < 20+echoLen {
			t.Errorf("accepted %d bytes", len(b))
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"progress":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		if _, err := encode(m); err != nil {
			t.Error(err)
		}
	})
}
