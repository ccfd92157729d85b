package rtsp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

func TestParseTransport(t *testing.T) {
	for _, tt := range []struct {
		header string
		want   transport
		ok     bool
	}{
		{"RTP/AVP;unicast;client_port=4588-4589", transport{ports: [2]uint16{4588, 4589}}, true},
		{"RTP/AVP/UDP;unicast;client_port=4588", transport{ports: [2]uint16{4588, 4589}}, true},
		{`RTP/AVP;unicast;client_port=4588-4589;mode="RECORD"`, transport{record: true, ports: [2]uint16{4588, 4589}}, true},
		{"RTP/AVP/TCP;unicast;interleaved=2-3;mode=record", transport{tcp: true, record: true, ports: [2]uint16{2, 3}}, true},
		{"RTP/AVP/TCP;unicast", transport{tcp: true, ports: [2]uint16{0, 1}}, true},
		{"RTP/AVP;multicast;client_port=1-2,RTP/AVP/TCP;interleaved=0-1", transport{tcp: true, ports: [2]uint16{0, 1}}, true},
		{"RTP/SAVP;unicast;client_port=1-2", transport{}, false},
		{"RTP/AVP;unicast", transport{}, false},
		{"RTP/AVP;unicast;client_port=0-1", transport{}, false},
		{"RTP/AVP;unicast;client_port=65535", transport{}, false},
		{"RTP/AVP;unicast;client_port=x-y", transport{}, false},
		{"RTP/AVP/TCP;unicast;interleaved=256-257", transport{}, false},
		{"", transport{}, false},
	} {
		got, err := parseTransport(tt.header)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: %+v, error %v, want %+v", tt.header, got, err, tt.want)
		}
	}
}

func TestTransportAnswer(t *testing.T) {
	udp := transport{ports: [2]uint16{4588, 4589}}
	got := udp.answer(50000, netip.MustParseAddr("192.168.94.110"), 0xab)
	want := `RTP/AVP;unicast;client_port=4588-4589;server_port=50000-50001;source=192.168.94.110;ssrc=000000AB;mode="PLAY"`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	tcp := transport{tcp: true, record: true, ports: [2]uint16{2, 3}}
	if got, want := tcp.answer(0, netip.Addr{}, 1), `RTP/AVP/TCP;unicast;interleaved=2-3;mode="RECORD"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReadMessage(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader(
		"SETUP rtsp://h/live/trackID=0 RTSP/1.0\r\nCSeq: 3\r\nSession: abc;timeout=60\r\n\r\n"+
			"$\x01\x00\x03xyz"+
			"ANNOUNCE rtsp://h/in RTSP/1.0\nCSeq:4\nContent-Length: 2\n\nv="), maxLine)
	req, _, err := readMessage(r)
	if err != nil || req.method != mSetup || req.session() != "abc" || req.header["cseq"] != "3" {
		t.Errorf("first: %+v, error %v", req, err)
	}
	_, f, err := readMessage(r)
	if err != nil || f.channel != 1 || string(f.data) != "xyz" {
		t.Errorf("second: %+v, error %v", f, err)
	}
	req, _, err = readMessage(r)
	if err != nil || string(req.body) != "v=" || req.method != mAnnounce {
		t.Errorf("third: %+v, error %v", req, err)
	}
}

func TestMalformed(t *testing.T) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\n\r\n",
		"PLAY rtsp://h/live\r\n\r\n",
		"PLAY rtsp://h/%zz RTSP/1.0\r\n\r\n",
		"PLAY rtsp://h/ RTSP/1.0\r\nno colon\r\n\r\n",
		"PLAY rtsp://h/ RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
		"PLAY rtsp://h/ RTSP/1.0\r\nContent-Length: 99999999\r\n\r\n",
		"PLAY rtsp://h/ RTSP/1.0\r\n" + strings.Repeat("a: b\r\n", maxHeaders+1) + "\r\n",
		strings.Repeat("x", 2*maxLine),
	} {
		_, _, err := readMessage(bufio.NewReaderSize(strings.NewReader(text), maxLine))
		if err == nil || !strings.Contains(err.Error(), errMalformed.Error()) {
			t.Errorf("%.40q: error %v, want %v", text, err, errMalformed)
		}
	}
}

func TestResponse(t *testing.T) {
	r := reply(statusOK, "CSeq", "1", "Content-Type", "application/sdp")
	r.body = []byte("v=0")
	want := "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0"
	if diff := cmp.Diff(want, string(r.appendTo(nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnnounced(t *testing.T) {
	base, err := url.Parse("rtsp://h/in/one?key=x")
	if err != nil {
		t.Fatal(err)
	}
	const head = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\n"
	for _, tt := range []struct {
		media string
		want  []string
	}{
		{"m=video 0 RTP/AVP 96\r\na=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\na=control:streamid=1\r\n", []string{"/in/one?key=x/streamid=0", "/in/one?key=x/streamid=1"}},
		{"m=video 0 RTP/AVP 96\r\na=control:rtsp://other/in/one/track1\r\n", []string{"/in/one/track1"}},
		{"m=video 0 RTP/AVP 96\r\n", []string{"/in/one?key=x"}},
		{"", nil},
		{strings.Repeat("m=video 0 RTP/AVP 96\r\n", maxTracks+1), nil},
	} {
		got, err := announced([]byte(head+tt.media), base)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.want != nil) {
			t.Errorf("%.60q: error %v (-want +got):\n%s", tt.media, err, diff)
		}
	}
}

func TestPool(t *testing.T) {
	ns := testenv.NewNS(t)
	p := newPool(sock.Opener{Do: ns.Do}, 50001, 50006) // pairs 50002 and 50004
	foreign, err := sock.Opener{Do: ns.Do}.ListenUDP(t.Context(), 50005)
	if err != nil {
		t.Fatal(err)
	}
	one, err := p.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if one.port() != 50002 || one.rtp.LocalPort() != 50002 || one.rtcp.LocalPort() != 50003 {
		t.Errorf("got the pair at %d, want 50002: 50005 is taken", one.port())
	}
	if _, err := p.take(t.Context()); err == nil {
		t.Error("a pair out of an empty pool")
	}
	one.close()
	one.close()
	foreign.Close()
	for range 2 {
		got, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer got.close()
	}
}

// TestAFailedWriteEndsTheConnection lets a client stop reading in the middle of a
// frame and go on later: it must not take the next frame for the rest of that one.
func TestAFailedWriteEndsTheConnection(t *testing.T) {
	client, tcp := connected(t)
	c := &conn{server: &Server{writeTimeout: 100 * time.Millisecond}, tcp: tcp}
	frame := append([]byte{'$', 0, 0xff, 0xff}, bytes.Repeat([]byte{0xee}, 0xffff)...)
	sent := 0
	for c.write(frame) == nil {
		sent++
	}
	read := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(client) // a reset is an end too
		read <- all
	}()
	c.server.writeTimeout = 5 * time.Second // time enough, now that somebody reads
	if err := c.write(frame); err == nil {
		t.Error("a frame followed one of which only a part may have left")
	}
	got := <-read
	if n := len(got) / len(frame); n > sent {
		t.Errorf("%d frames arrived, %d were sent", n, sent)
	}
	for at := 0; at < len(got); at += len(frame) {
		if !bytes.HasPrefix(frame, got[at:min(at+len(frame), len(got))]) {
			t.Fatalf("no frame at byte %d", at)
		}
	}
}

// connected returns both ends of a connection that holds little.
func connected(t *testing.T) (client, server *net.TCPConn) {
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
	server, err = ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if err := errors.Join(client.SetReadBuffer(4096), server.SetWriteBuffer(4096), client.SetDeadline(time.Now().Add(10*time.Second))); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("SETUP rtsp://h/live RTSP/1.0\r\nCSeq: 3\r\n\r\n"))
	f.Add([]byte("ANNOUNCE rtsp://h/in RTSP/1.0\r\nCSeq: 4\r\nContent-Length: 2\r\n\r\nv="))
	f.Add([]byte("$\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(b), maxLine)
		for {
			req, fr, err := readMessage(r)
			if err != nil {
				return
			}
			if (req == nil) == (fr == nil) {
				t.Fatal("neither or both of request and frame")
			}
			if req != nil {
				trackKey(req.url)
				_, _ = announced(req.body, req.url)
			}
		}
	})
}

func FuzzParseTransport(f *testing.F) {
	f.Add("RTP/AVP;unicast;client_port=4588-4589,RTP/AVP/TCP;interleaved=0-1")
	f.Fuzz(func(t *testing.T, header string) {
		got, err := parseTransport(header)
		if err != nil {
			return
		}
		again, err := parseTransport(got.answer(50000, netip.IPv4Unspecified(), 1))
		if err != nil || again != got {
			t.Errorf("%q is %+v, its answer %+v, error %v", header, got, again, err)
		}
	})
}

func FuzzAnnounced(f *testing.F) {
	f.Add("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=control:streamid=0\r\n")
	base := &url.URL{Scheme: "rtsp", Host: "h", Path: "/in"}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := announced([]byte(body), base)
		if (err == nil) != (len(got) > 0) {
			t.Errorf("%d tracks, error %v", len(got), err)
		}
	})
}
