package directory

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/lb"
)

const secret = "xyzzy5461"

// signing is how a server signs an answer.
type signing int

const (
	both     signing = iota
	onlyMD5          // as before CVE-2024-3596
	onlyHMAC         // a Message-Authenticator, and a response authenticator of somebody else
)

// reply makes an answer to a request.
func reply(request []byte, code byte, secret string, how signing, attrs ...attribute) []byte {
	if how != onlyMD5 {
		attrs = append(attrs, attribute{attrMessageAuthenticator, make([]byte, signLen)})
	}
	p := append([]byte{code, request[1], 0, 0}, request[4:headerLen]...)
	signAt := 0
	for _, a := range attrs {
		if a.kind == attrMessageAuthenticator {
			signAt = len(p) + 2
		}
		p = append(append(p, a.kind, byte(len(a.value)+2)), a.value...)
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	if how != onlyMD5 {
		copy(p[signAt:], sign(p, []byte(secret)))
	}
	if how == onlyHMAC {
		p[4]++
		return p
	}
	sum := md5.Sum(append(slices.Clone(p), secret...))
	copy(p[4:], sum[:])
	return p
}

func anyRequest() []byte {
	return request(7, [signLen]byte{1, 2, 3}, []byte(secret), login{"nemo", "arctangent", "lb1"})
}

// TestHide is the example of RFC 2865 section 7.1.
func TestHide(t *testing.T) {
	t.Parallel()
	auth := [signLen]byte{0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4, 0x22, 0x7a}
	want := []byte{0x0d, 0xbe, 0x70, 0x8d, 0x93, 0xd4, 0x13, 0xce, 0x31, 0x96, 0xe4, 0x3f, 0x78, 0x2a, 0x0a, 0xee}
	if got := hide("arctangent", auth, []byte(secret)); !slices.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}

func TestRequestIsSignedFirst(t *testing.T) {
	t.Parallel()
	ask := anyRequest()
	attrs, signedAt, err := attributes(ask)
	if err != nil || signedAt != headerLen+2 || attrs[0].kind != attrMessageAuthenticator || len(ask) != int(binary.BigEndian.Uint16(ask[2:])) {
		t.Fatalf("%v, %d, %v", attrs, signedAt, err)
	}
	blank := slices.Clone(ask)
	clear(blank[signedAt : signedAt+signLen])
	if !slices.Equal(sign(blank, []byte(secret)), attrs[0].value) {
		t.Error("the signature is not the packet's")
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	ask := anyRequest()
	good := reply(ask, accessAccept, secret, both, attribute{attrFilterID, []byte("lb")})
	edit := func(f func(p []byte)) []byte {
		p := slices.Clone(good)
		f(p)
		return p
	}
	other := request(7, [signLen]byte{9}, []byte(secret), login{"nemo", "arctangent", "lb1"})
	for name, one := range map[string]struct {
		packet []byte
		err    error
	}{
		"good":                {good, nil},
		"padded":              {append(slices.Clone(good), 1, 2, 3), nil},
		"reject":              {reply(ask, accessReject, secret, both), nil},
		"unsigned":            {reply(ask, accessAccept, secret, onlyMD5), errUnsigned},
		"only signed new":     {reply(ask, accessAccept, secret, onlyHMAC), errForged},
		"wrong secret":        {reply(ask, accessAccept, "guess", both), errForged},
		"reject made accept":  {func() []byte { p := reply(ask, accessReject, secret, both); p[0] = accessAccept; return p }(), errForged},
		"of another request":  {reply(other, accessAccept, secret, both), errForged},
		"of another id":       {edit(func(p []byte) { p[1]++ }), errNoAnswer},
		"a changed attribute": {edit(func(p []byte) { p[headerLen+2] ^= 1 }), errForged},
		"a changed signature": {edit(func(p []byte) { p[len(p)-1] ^= 1 }), errForged},
		"short":               {good[:len(good)-1], errNoAnswer},
		"shorter":             {good[:headerLen-1], errNoAnswer},
		"of length 0":         {edit(func(p []byte) { p[2], p[3] = 0, 0 }), errNoAnswer},
		"a torn attribute":    {edit(func(p []byte) { p[headerLen+1] = 200 }), errNoAnswer},
		"an empty attribute":  {edit(func(p []byte) { p[headerLen+1] = 0 }), errNoAnswer},
		"signed twice":        {reply(ask, accessAccept, secret, both, attribute{attrMessageAuthenticator, make([]byte, signLen)}), errNoAnswer},
		"signed too short":    {reply(ask, accessAccept, secret, onlyMD5, attribute{attrMessageAuthenticator, make([]byte, 4)}), errNoAnswer},
		"nothing":             {nil, errNoAnswer},
	} {
		code, attrs, err := answer(one.packet, ask, []byte(secret))
		if !errors.Is(err, one.err) {
			t.Errorf("%s: %v, want %v", name, err, one.err)
		}
		if (err == nil) != (code != 0) || err != nil && attrs != nil {
			t.Errorf("%s: code %d, %v with %v", name, code, attrs, err)
		}
	}
}

// FuzzAnswer: nothing that is not signed with the secret is believed, and nothing panics.
func FuzzAnswer(f *testing.F) {
	ask := anyRequest()
	f.Add(reply(ask, accessAccept, secret, both, attribute{attrFilterID, []byte("lb")}))
	f.Add(reply(ask, accessReject, secret, onlyMD5))
	f.Add(reply(ask, accessAccept, "guess", both))
	f.Add([]byte{2, 7, 0, 20})
	f.Fuzz(func(t *testing.T, packet []byte) {
		before := slices.Clone(packet)
		if code, _, err := answer(packet, ask, []byte("a secret that no seed is signed with")); err == nil {
			t.Errorf("% x is believed: code %d", packet, code)
		}
		_, _, _ = answer(packet, ask, []byte(secret))
		if !slices.Equal(packet, before) {
			t.Error("the packet was changed")
		}
	})
}

// TestOnlyTheAskedIsBelieved: answers that somebody else sends, and forged ones before the
// right one, change nothing; a lost request is sent again.
func TestOnlyTheAskedIsBelieved(t *testing.T) {
	t.Parallel()
	server, stranger := socket(t), socket(t)
	go func() {
		buf := make([]byte, mostPacket)
		for try := 0; ; try++ {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			ask := slices.Clone(buf[:n])
			if try == 0 {
				continue // lost
			}
			admin := attribute{attrFilterID, []byte("admins")}
			_, _ = stranger.WriteTo(reply(ask, accessAccept, secret, both, admin), from)
			_, _ = server.WriteTo(reply(ask, accessAccept, "guess", both, admin), from)
			_, _ = server.WriteTo(reply(ask, accessAccept, secret, onlyMD5, admin), from)
			_, _ = server.WriteTo(reply(ask, accessAccept, secret, both, attribute{attrClass, []byte("operators")}), from)
		}
	}()
	a := New(Options{Secret: secret, Node: "lb1", Settings: lb.Authentication{
		Source: lb.AuthRADIUS, Servers: []string{server.LocalAddr().String()}, Timeout: 3 * time.Second,
		Groups: lb.AuthGroups{Admin: "admins", Operator: "operators"},
	}})
	if role, err := a.Check(t.Context(), "nemo", "arctangent"); role != accounts.Operator || err != nil {
		t.Errorf("%v, %v", role, err)
	}
}

func TestForgedAnswersAreTold(t *testing.T) {
	t.Parallel()
	for how, want := range map[signing]error{onlyMD5: errUnsigned, onlyHMAC: errForged} {
		server := socket(t)
		go func() {
			buf := make([]byte, mostPacket)
			for {
				n, from, err := server.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = server.WriteTo(reply(buf[:n], accessAccept, secret, how, attribute{attrFilterID, []byte("a")}), from)
			}
		}()
		r := &radius{Options{Secret: secret, Settings: lb.Authentication{Timeout: 300 * time.Millisecond}}}
		ctx := t.Context()
		if _, _, err := r.exchange(ctx, server.LocalAddr().String(), "nemo", "arctangent"); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	r := &radius{Options{Settings: lb.Authentication{Groups: lb.AuthGroups{Admin: "a", Auditor: "b"}}}}
	class := func(text string) attribute { return attribute{attrClass, []byte(text)} }
	for _, one := range []struct {
		code  byte
		attrs []attribute
		role  accounts.Role
		err   error
	}{
		{accessAccept, []attribute{class("b"), class("a")}, accounts.Admin, nil},
		{accessAccept, []attribute{class("b")}, accounts.Auditor, nil},
		{accessAccept, []attribute{class("A"), {attrUserName, []byte("a")}}, 0, ErrNoRole},
		{accessReject, []attribute{class("a")}, 0, ErrWrong},
		{accessChallenge, []attribute{class("a")}, 0, ErrWrong},
	} {
		if role, err := r.judge(one.code, one.attrs); role != one.role || !errors.Is(err, one.err) {
			t.Errorf("%d %v: %v, %v", one.code, one.attrs, role, err)
		}
	}
	if role, err := r.judge(99, []attribute{class("a")}); role != 0 || err == nil {
		t.Errorf("an unknown code: %v, %v", role, err)
	}
}

func TestWithPort(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7:1812", "r.example.org:1645": "r.example.org:1645", "2001:db8::1": "[2001:db8::1]:1812", "[2001:db8::1]": "[2001:db8::1]:1812", "[2001:db8::1]:9": "[2001:db8::1]:9",
	} {
		if got := withPort(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func socket(t *testing.T) net.PacketConn {
	t.Helper()
	c, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
