package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// radiusPort is the one of RFC 2865.
const radiusPort = "1812"

// tries is how often a request is sent; datagrams get lost.
const tries = 3

// radius asks by RADIUS with PAP.
type radius struct{ Options }

// Check asks for access.
func (r *radius) Check(ctx context.Context, user, password string) (accounts.Role, error) {
	if !plausible(user, password) || len(password) > mostRADIUS {
		return 0, ErrWrong
	}
	if r.Secret == "" {
		return 0, &UnavailableError{errors.New("the secret shared with the server is not known: give it in the WebUI or by lbctl auth secret")}
	}
	return r.inOrder(ctx, func(ctx context.Context, server string) (accounts.Role, error) {
		code, attrs, err := r.exchange(ctx, server, user, password)
		if err != nil {
			return 0, err
		}
		return r.judge(code, attrs)
	})
}

// judge turns an answer into a role.
func (r *radius) judge(code byte, attrs []attribute) (accounts.Role, error) {
	switch code {
	case accessAccept:
	case accessReject:
		return 0, ErrWrong
	case accessChallenge:
		return 0, fmt.Errorf("%w: the server asks for more than a password (Access-Challenge), which is not possible here", ErrWrong)
	default:
		return 0, fmt.Errorf("the answer has the unknown code %d", code)
	}
	role, err := roleOf(r.Settings.Groups, func(group string) (bool, error) {
		return slices.ContainsFunc(attrs, func(a attribute) bool {
			return (a.kind == attrFilterID || a.kind == attrClass) && string(a.value) == group
		}), nil
	})
	if err == nil && role == 0 {
		err = ErrNoRole
	}
	return role, err
}

// exchange sends a request until an answer to be believed comes from the very address that
// was asked.
func (r *radius) exchange(ctx context.Context, server, user, password string) (byte, []attribute, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", withPort(server))
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var random [1 + signLen]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	secret := []byte(r.Secret)
	ask := request(random[0], [signLen]byte(random[1:]), secret, login{user, password, r.Node[:min(len(r.Node), mostAttrLen)]})
	end, bounded := ctx.Deadline()
	if !bounded {
		end = time.Now().Add(r.Settings.Whole())
	}
	var doubt error // about the last answer that was not believed
	for left := tries; left > 0; left-- {
		if _, err := conn.Write(ask); err != nil {
			return 0, nil, because(err, doubt)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Until(end) / time.Duration(left))); err != nil {
			return 0, nil, because(err, doubt)
		}
		code, attrs, err := await(conn, ask, secret, &doubt)
		if err == nil {
			return code, attrs, nil
		}
		if ctx.Err() != nil {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, nil, because(err, doubt)
		}
	}
	return 0, nil, because(errors.New("no answer within the time: is the server up, and does it know this node?"), doubt)
}

// because prefers what was wrong with an answer to there being none.
func because(err, doubt error) error {
	if doubt != nil {
		return doubt
	}
	return err
}

// await reads until an answer is to be believed. Others are dropped: anybody may send them.
func await(conn net.Conn, ask, secret []byte, doubt *error) (byte, []attribute, error) {
	buf := make([]byte, mostPacket+1)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return 0, nil, err
		}
		code, attrs, err := answer(buf[:n], ask, secret)
		if err == nil {
			return code, attrs, nil
		}
		*doubt = err
	}
}

// withPort adds the usual port to a server that has none.
func withPort(server string) string {
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	return net.JoinHostPort(trimBrackets(server), radiusPort)
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
