package simvos_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/simvos"
	"github.com/vosbed/vosbed/simvos/control"
)

// talker speaks RTSP by hand.
type talker struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	cseq int
}

func (l *lab) talk(t *testing.T) *talker {
	t.Helper()
	conn := l.dial(t, "tcp", vip, 554)
	return &talker{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// do sends a request with extra header lines and returns the status and header.
func (k *talker) do(method, url, body string, lines ...string) (int, textproto.MIMEHeader) {
	k.t.Helper()
	k.cseq++
	lines = append(lines, fmt.Sprintf("CSeq: %d", k.cseq), fmt.Sprintf("Content-Length: %d", len(body)))
	_, err := fmt.Fprintf(k.conn, "%s %s RTSP/1.0\r\n%s\r\n\r\n%s", method, url, strings.Join(lines, "\r\n"), body)
	must(k.t, err)
	p := textproto.NewReader(k.r)
	line, err := p.ReadLine()
	must(k.t, err)
	header, err := p.ReadMIMEHeader()
	must(k.t, err)
	if n, _ := strconv.Atoi(header.Get("Content-Length")); n > 0 {
		_, err = io.CopyN(io.Discard, k.r, int64(n))
		must(k.t, err)
	}
	if header.Get("Cseq") != fmt.Sprint(k.cseq) {
		k.t.Errorf("answer to CSeq %s, want %d", header.Get("Cseq"), k.cseq)
	}
	status, err := strconv.Atoi(strings.Fields(line)[1])
	must(k.t, err)
	return status, header
}

// want does a request and checks its status.
func (k *talker) want(status int, method, url string, lines ...string) textproto.MIMEHeader {
	k.t.Helper()
	got, header := k.do(method, url, "", lines...)
	if got != status {
		k.t.Errorf("%s %s %q: status %d, want %d", method, url, lines, got, status)
	}
	return header
}

const (
	liveURL   = "rtsp://192.168.94.110/live"
	udpWish   = "Transport: RTP/AVP;unicast;client_port=40000-40001"
	tcpWish   = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
	otherWish = "Transport: RTP/SAVP;unicast;client_port=40000-40001"
)

func TestRTSPStates(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	k := l.talk(t)
	if h := k.want(200, "OPTIONS", "*"); !strings.Contains(h.Get("Public"), "RECORD") || !strings.Contains(h.Get("Server"), "HT1") {
		t.Errorf("OPTIONS: %v", h)
	}
	k.want(501, "REDIRECT", liveURL)
	k.want(404, "DESCRIBE", "rtsp://192.168.94.110/nothing")
	k.want(404, "DESCRIBE", "rtsp://192.168.94.110/lively")
	k.want(200, "DESCRIBE", liveURL)
	k.want(454, "PLAY", liveURL)
	k.want(461, "SETUP", liveURL+"/trackID=0", otherWish)
	k.want(404, "SETUP", "rtsp://192.168.94.110/nothing", tcpWish)
	k.want(454, "SETUP", liveURL+"/trackID=0", tcpWish, "Session: nobody")

	h := k.want(200, "SETUP", liveURL+"/trackID=0", udpWish)
	id, _, _ := strings.Cut(h.Get("Session"), ";")
	session := "Session: " + id
	if tr := h.Get("Transport"); !strings.Contains(tr, "source=192.168.94.110;") || !strings.Contains(tr, "client_port=40000-40001") {
		t.Errorf("Transport %q", tr)
	}
	k.want(459, "SETUP", liveURL+"/trackID=0", udpWish)
	k.want(455, "SETUP", liveURL+"/trackID=0", udpWish, session)
	k.want(455, "ANNOUNCE", "rtsp://192.168.94.110/in")
	k.want(455, "RECORD", liveURL, session)
	k.want(455, "PAUSE", liveURL, session)
	k.want(454, "PLAY", liveURL, "Session: nobody")
	if h := k.want(200, "PLAY", liveURL, session); !strings.Contains(h.Get("Rtp-Info"), "rtptime=") {
		t.Errorf("PLAY: %v", h)
	}
	k.want(455, "PLAY", liveURL, session)
	k.want(200, "GET_PARAMETER", liveURL, session)
	k.want(454, "GET_PARAMETER", liveURL, "Session: nobody")
	k.want(200, "PAUSE", liveURL, session)
	k.want(200, "TEARDOWN", liveURL, session)
	k.want(454, "PLAY", liveURL, session)
	k.want(400, "ANNOUNCE", "rtsp://192.168.94.110/in")
}

// TestAFailedSetupMayBeTriedAgain fills the pool of ports, which holds one pair.
func TestAFailedSetupMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *simvos.Options) { o.Ports.RTPLow, o.Ports.RTPHigh = 50000, 50001 })
	first, second := l.talk(t), l.talk(t)
	h := first.want(200, "SETUP", liveURL+"/trackID=0", udpWish)
	id, _, _ := strings.Cut(h.Get("Session"), ";")
	second.want(503, "SETUP", liveURL+"/trackID=0", udpWish)
	second.want(503, "SETUP", liveURL+"/trackID=0", udpWish)
	first.want(200, "TEARDOWN", liveURL, "Session: "+id)
	second.want(200, "SETUP", liveURL+"/trackID=0", udpWish)
}

// TestRecordCountsToTheEnd ends recordings right after their last packet, again and
// again: what was sent before counts, whoever is read first.
func TestRecordCountsToTheEnd(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	const rounds, packets = 10, 300
	for round := range rounds {
		k := l.talk(t)
		port, id := k.announce("rtsp://192.168.94.110/in")
		media := l.dial(t, "udp", vip, port)
		session := "Session: " + id
		k.want(200, "RECORD", "rtsp://192.168.94.110/in", session)
		for seq := range uint16(packets) {
			_, err := media.Write(rtpPacket(seq))
			must(t, err)
		}
		end := "TEARDOWN"
		if round%2 == 0 {
			end = "PAUSE"
		}
		k.want(200, end, "rtsp://192.168.94.110/in", session)
		c := l.status(t).Client(clientIP, control.ProtoRTSPRecord)
		if want := uint64(packets * (round + 1)); c.ReceivedPackets != want || c.Lost != 0 {
			t.Fatalf("after %s of round %d: ledger %+v, want %d packets", end, round, c, want)
		}
		k.conn.Close()
	}
}

// announce sets a recording of one track up and returns the server's port for its
// media and the session's id.
func (k *talker) announce(url string) (port uint16, session string) {
	k.t.Helper()
	const sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=control:streamid=0\r\n"
	if status, _ := k.do("ANNOUNCE", url, sdp, "Content-Type: application/sdp"); status != 200 {
		k.t.Fatalf("ANNOUNCE: status %d", status)
	}
	h := k.want(200, "SETUP", url+"/streamid=0", udpWish+";mode=record")
	session, _, _ = strings.Cut(h.Get("Session"), ";")
	_, rest, _ := strings.Cut(h.Get("Transport"), "server_port=")
	text, _, _ := strings.Cut(rest, "-")
	n, err := strconv.ParseUint(text, 10, 16)
	must(k.t, err)
	return uint16(n), session
}

// rtpPacket is a packet of a publisher.
func rtpPacket(seq uint16) []byte {
	return []byte{0x80, 96, byte(seq >> 8), byte(seq), 0, 0, 0, 0, 0, 0, 0, 1, 'x'}
}

// TestRecordFromElsewhere sends RTP to the port of another client's session, as
// a balancer without persistence would make it arrive.
func TestRecordFromElsewhere(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	k := l.talk(t)
	port, id := k.announce("rtsp://192.168.94.110/in")
	k.want(404, "SETUP", "rtsp://192.168.94.110/in/streamid=7", udpWish+";mode=record", "Session: "+id)
	k.want(200, "RECORD", "rtsp://192.168.94.110/in", "Session: "+id)

	for to, n := range map[netip.Addr]int{vip: 3, vip6: 2} { // the same client has two addresses
		conn := l.dial(t, "udp", to, port)
		for range n {
			_, err := conn.Write(rtpPacket(1))
			must(t, err)
		}
	}
	eventually(t, "3 packets of the client and 2 strays", func() bool {
		s := l.status(t)
		return s.Client(clientIP, control.ProtoRTSPRecord).ReceivedPackets == 3 &&
			s.Client(clientIP6, control.ProtoRTSPRecord).Stray == 2
	})
	k.conn.Close()
	eventually(t, "the session to end with its connection", func() bool {
		return l.status(t).Client(clientIP, control.ProtoRTSPRecord).Active == 0
	})
}

func TestManySessions(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	ports := map[string]bool{}
	var all []*talker
	for range 50 {
		k := l.talk(t)
		h := k.want(200, "SETUP", liveURL+"/trackID=0", udpWish)
		_, rest, _ := strings.Cut(h.Get("Transport"), "server_port=")
		pair, _, _ := strings.Cut(rest, ";")
		first, _, _ := strings.Cut(pair, "-")
		n, err := strconv.Atoi(first)
		must(t, err)
		if n%2 != 0 || n < 50000 || n > 59998 || ports[pair] {
			t.Errorf("ports %s", pair)
		}
		ports[pair] = true
		all = append(all, k)
	}
	for _, k := range all {
		k.conn.Close()
	}
	eventually(t, "all connections to end", func() bool {
		return l.status(t).Protocols[control.ServiceRTSP].Active == 0
	})
}
