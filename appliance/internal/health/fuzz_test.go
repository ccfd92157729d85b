package health

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"github.com/vosbed/vosbed/appliance/lb"
)

// What the words of a verdict may take at most: twice what a server said, which
// grows when it is made printable, and our own words.
const (
	maxFailed = 2*(2*maxShown+3) + 300
	maxTLS    = 2*(2*maxShown+3) + 200
)

// FuzzAnswer lets a server say anything: a check ends, keeps little of it, explains
// a failure and is content only with status 200 and the wanted body.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nHealthy",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nHealthy\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 500 No\r\n\r\nHealthy",
		"RTSP/1.0 200 OK\r\n\r\n", "\x16\x03\x01", "",
		"HTTP/1.1 302 Found\r\nLocation: /" + strings.Repeat("\x01", 60_000) + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("no header ", 6_000) + "\r\n\r\n",
		strings.Repeat("RTSP", 10_000) + "\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		p := guideProbe(netip.MustParseAddrPort("127.0.0.1:8080"))
		p.Check.Scheme = lb.HTTP
		done := make(chan struct{})
		dial := func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				defer close(done)
				defer func() { _ = there.Close() }()
				_, _ = there.Read(make([]byte, 4096))
				_, _ = there.Write(said)
			}()
			return here, nil
		}
		v := newProber(Options{Dial: dial}).check(t.Context(), p)
		<-done
		if v.OK != (v.Failed == "") || len(v.Body) > 3*maxShown+3 {
			t.Fatalf("%+v", v)
		}
		if len(v.Failed) > maxFailed || len(v.TLS) > maxTLS {
			t.Fatalf("%d bytes of failure, %d of TLS: %+v", len(v.Failed), len(v.TLS), v)
		}
		if v.OK && (v.Status != 200 || v.Body != "Healthy") {
			t.Fatalf("healthy by %q: %+v", said, v)
		}
		if i := strings.IndexFunc(v.Body+v.Failed, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Fatalf("not printable: %q", v.Failed)
		}
	})
}

// FuzzReply lets anybody send ICMP: only the reply with our nonce counts.
func FuzzReply(f *testing.F) {
	nonce := []byte("0123456789abcdef01234567")
	f.Add(append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, nonce...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if isReply(packet, nonce) && !strings.HasSuffix(string(packet), string(nonce)) {
			t.Fatalf("%q is no reply", packet)
		}
	})
}
