package directory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Authenticator knows people by name and password.
type Authenticator interface {
	// Check returns the role of a person whose password is right. The error is or wraps
	// [ErrWrong] or [ErrNoRole], or is an [*UnavailableError]. It ends within the timeout
	// of the settings.
	Check(ctx context.Context, user, password string) (accounts.Role, error)
}

// Answers of a server that could be asked.
var (
	// ErrWrong means that there is no such person, or with another password.
	ErrWrong = errors.New("the name or the password is wrong")
	// ErrNoRole means that the password is right and that none of the groups that have a
	// role has this member.
	ErrNoRole = errors.New("the password is right, but the person is in no group that has a role")
)

// UnavailableError says why nothing is known about a person: no server could be asked, or
// none answered in a way that can be trusted.
type UnavailableError struct{ Err error }

// Error tells it for each server.
func (e *UnavailableError) Error() string { return "nobody could be asked: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Options are what a check needs.
type Options struct {
	Settings lb.Authentication
	Secret   string // the password of the settings' BindDN, or the RADIUS secret
	// Withheld are servers of the settings that must not be shown the secret: it was given
	// for others.
	Withheld []string
	Node     string // how this node calls itself to a RADIUS server
}

// New returns who is asked by these settings; their source is not local. It connects to
// nobody yet.
func New(o Options) Authenticator {
	if o.Settings.Source == lb.AuthRADIUS {
		return &radius{o}
	}
	return &directory{o}
}

// Bounds of what a person types, in bytes: nobody has a longer one.
const (
	longestUser     = 128
	longestPassword = 512
)

// plausible says whether it is worth asking. A password that is empty would be an
// unauthenticated bind, which succeeds for everybody (RFC 4513 section 5.1.2).
func plausible(user, password string) bool {
	return user != "" && password != "" && len(user) <= longestUser && len(password) <= longestPassword &&
		!strings.ContainsRune(user, 0) && !strings.ContainsRune(password, 0)
}

// inOrder asks the servers one after the other until one has an answer. Each gets its
// share of the time that is left.
func (o Options) inOrder(ctx context.Context, ask func(context.Context, string) (accounts.Role, error)) (accounts.Role, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Settings.Whole())
	defer cancel()
	var failed []string
	for i, server := range o.Settings.Servers {
		if slices.Contains(o.Withheld, server) {
			failed = append(failed, server+": the secret was given for other servers: give it once more, in the WebUI or by lbctl auth secret")
			continue
		}
		role, err := share(ctx, len(o.Settings.Servers)-i, func(ctx context.Context) (accounts.Role, error) { return ask(ctx, server) })
		if err == nil || errors.Is(err, ErrWrong) || errors.Is(err, ErrNoRole) {
			return role, err
		}
		failed = append(failed, server+": "+printable(err.Error()))
	}
	return 0, &UnavailableError{errors.New(strings.Join(failed, "; "))}
}

// longestReason bounds what is told of a failure, in characters.
const longestReason = 300

// printable is a text that may hold what a server has said: bounded, and without what
// would steer a terminal.
func printable(text string) string {
	clean := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text[:min(len(text), 8*longestReason)]))
	if len(clean) > longestReason {
		return string(clean[:longestReason]) + "…"
	}
	return string(clean)
}

// share gives one of n servers its part of the time.
func share(ctx context.Context, n int, ask func(context.Context) (accounts.Role, error)) (accounts.Role, error) {
	if end, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(n))
		defer cancel()
	}
	return ask(ctx)
}

// roleOf returns the highest role whose group has a member.
func roleOf(g lb.AuthGroups, member func(group string) (bool, error)) (accounts.Role, error) {
	for _, one := range []struct {
		role  accounts.Role
		group string
	}{{accounts.Admin, g.Admin}, {accounts.Operator, g.Operator}, {accounts.Auditor, g.Auditor}} {
		if one.group == "" {
			continue
		}
		is, err := member(one.group)
		if err != nil {
			return 0, err
		}
		if is {
			return one.role, nil
		}
	}
	return 0, nil
}
