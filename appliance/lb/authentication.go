package lb

import (
	"cmp"
	"time"
)

// AuthSource says who is asked about people that have no account on the node (guide 9.3).
type AuthSource int

// Sources. AuthLocal asks nobody: only accounts of the node may log in.
const (
	AuthLocal AuthSource = iota
	AuthLDAP
	AuthActiveDirectory
	AuthRADIUS
)

func authSources() enum {
	return enum{"source", []string{"local", "ldap", "active-directory", "radius"}}
}

// String returns "local", "ldap", "active-directory" or "radius".
func (s AuthSource) String() string { return authSources().text(int(s)) }

// ParseAuthSource reads the word for a source.
func ParseAuthSource(word string) (AuthSource, error) {
	v, err := authSources().parse(word)
	return AuthSource(v), err
}

// Directory says whether the source speaks LDAP.
func (s AuthSource) Directory() bool { return s == AuthLDAP || s == AuthActiveDirectory }

// Authentication is who may log in besides the accounts of the node, and how they are
// asked. It is of node scope, as all of security is (guide 14.1.1). The password of BindDN
// and the secret shared with the RADIUS servers are no settings: the daemon keeps them.
type Authentication struct {
	Source AuthSource
	// Servers are tried in this order: ldap://host[:port] and ldaps://host[:port], or
	// host[:port] of RADIUS.
	Servers    []string
	BaseDN     string // below which people are searched
	BindDN     string // as which they are searched, "" = anonymously
	UserFilter string // with {user} for the name (RFC 4515), "" = the usual one of the source
	CAFile     string // certificates (PEM) that vouch for the servers, "" = the system's
	StartTLS   bool   // turn ldap:// into TLS before anything else is said
	Insecure   bool   // let passwords travel as plain text
	Groups     AuthGroups
	Timeout    time.Duration // of a whole login, 0 = DefaultAuthTimeout
}

// AuthGroups names the group whose members have a role, "" = nobody has it: a DN, or the
// text of a RADIUS server's Filter-Id or Class.
type AuthGroups struct{ Admin, Operator, Auditor string }

// DefaultAuthTimeout bounds a whole login, all servers together.
const DefaultAuthTimeout = 5 * time.Second

// Whole is the time that a login may take.
func (a Authentication) Whole() time.Duration { return cmp.Or(a.Timeout, DefaultAuthTimeout) }

// Filter is the one by which a person is found.
func (a Authentication) Filter() string {
	if a.Source == AuthActiveDirectory {
		return cmp.Or(a.UserFilter, "(&(objectClass=user)(sAMAccountName={user}))")
	}
	return cmp.Or(a.UserFilter, "(uid={user})")
}
