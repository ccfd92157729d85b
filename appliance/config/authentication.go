package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

type authenticationFile struct {
	Source     string               `yaml:"source,omitempty"`
	Servers    []string             `yaml:"servers,omitempty,flow"`
	BaseDN     string               `yaml:"base_dn,omitempty"`
	BindDN     string               `yaml:"bind_dn,omitempty"`
	UserFilter string               `yaml:"user_filter,omitempty"`
	CAFile     string               `yaml:"ca_file,omitempty"`
	StartTLS   bool                 `yaml:"start_tls,omitempty"`
	Insecure   bool                 `yaml:"insecure,omitempty"`
	Timeout    *strictyaml.Duration `yaml:"timeout,omitempty"`
	Groups     authGroupsFile       `yaml:"groups,omitempty"`
}

type authGroupsFile struct {
	Admin    string `yaml:"admin,omitempty"`
	Operator string `yaml:"operator,omitempty"`
	Auditor  string `yaml:"auditor,omitempty"`
}

// Bounds of the settings of authentication. A login may take no longer than the gate that
// counts attempts waits for one.
const (
	maxAuthServers = 8
	maxAuthText    = 1024
	leastAuthTime  = 500 * time.Millisecond
	mostAuthTime   = 8 * time.Second
)

func (r *reader) authentication(f authenticationFile) lb.Authentication {
	a := lb.Authentication{
		Source:     word(r, "node.authentication.source", text(f.Source, "local"), lb.ParseAuthSource),
		BaseDN:     f.BaseDN,
		BindDN:     f.BindDN,
		UserFilter: f.UserFilter,
		CAFile:     f.CAFile,
		StartTLS:   f.StartTLS,
		Insecure:   f.Insecure,
		Groups:     lb.AuthGroups(f.Groups),
		Timeout:    span(f.Timeout, 0),
	}
	if f.Timeout != nil {
		within(r, "node.authentication.timeout", a.Timeout, leastAuthTime, mostAuthTime)
	} else if a.Source != lb.AuthLocal {
		a.Timeout = lb.DefaultAuthTimeout
	}
	for i, s := range f.Servers {
		path := r.item(fmt.Sprintf("node.authentication.servers[%d]", i))
		if s == "" {
			r.empty(path, "ldaps://dc1.example.org")
		}
		a.Servers = append(a.Servers, s)
	}
	return a
}

func authenticationToFile(a lb.Authentication) authenticationFile {
	f := authenticationFile{
		Source:     a.Source.String(),
		Servers:    a.Servers,
		BaseDN:     a.BaseDN,
		BindDN:     a.BindDN,
		UserFilter: a.UserFilter,
		CAFile:     a.CAFile,
		StartTLS:   a.StartTLS,
		Insecure:   a.Insecure,
		Groups:     authGroupsFile(a.Groups),
	}
	if a.Timeout != 0 {
		f.Timeout = spanOf(a.Timeout)
	}
	return f
}

// validateAuthentication reports what could not work. What belongs to a source that is
// not chosen may stay, for the day when it is.
func validateAuthentication(r *reader, a lb.Authentication) {
	const at = "node.authentication."
	for _, t := range []struct{ key, text string }{
		{"base_dn", a.BaseDN},
		{"bind_dn", a.BindDN},
		{"user_filter", a.UserFilter},
		{"ca_file", a.CAFile},
		{"groups.admin", a.Groups.Admin},
		{"groups.operator", a.Groups.Operator},
		{"groups.auditor", a.Groups.Auditor},
	} {
		validateAuthText(r, at+t.key, t.text)
	}
	if a.CAFile != "" && !strings.HasPrefix(a.CAFile, "/") {
		r.fail(at+"ca_file", "%q is not an absolute path -- write it from /", a.CAFile)
	}
	for i, s := range a.Servers {
		validateAuthServer(r, fmt.Sprintf("%sservers[%d]", at, i), s, a)
	}
	distinct(r, at+"servers", a.Servers)
	if len(a.Servers) > maxAuthServers {
		r.fail(at+"servers", "%d servers, the limit is %d -- remove some", len(a.Servers), maxAuthServers)
	}
	if a.Source == lb.AuthLocal {
		return
	}
	if len(a.Servers) == 0 {
		r.fail(at+"servers", "source: %s needs a server to ask -- write for example %s, or source: local", a.Source, exampleServer(a.Source))
	}
	if a.Groups == (lb.AuthGroups{}) {
		r.fail(at+"groups.admin", "without a group nobody could log in -- write the group of one role at least")
	}
	if a.Source.Directory() {
		validateDirectory(r, a)
	}
}

func exampleServer(s lb.AuthSource) string {
	if s == lb.AuthRADIUS {
		return "192.0.2.7:1812"
	}
	return "ldaps://dc1.example.org"
}

// validateDirectory is about LDAP and Active Directory.
func validateDirectory(r *reader, a lb.Authentication) {
	const at = "node.authentication."
	if a.BaseDN == "" {
		r.fail(at+"base_dn", "source: %s needs to know where people are -- write for example dc=example,dc=org", a.Source)
	}
	for _, t := range []struct{ key, dn string }{
		{"base_dn", a.BaseDN},
		{"bind_dn", a.BindDN},
		{"groups.admin", a.Groups.Admin},
		{"groups.operator", a.Groups.Operator},
		{"groups.auditor", a.Groups.Auditor},
	} {
		if t.dn != "" && !strings.Contains(t.dn, "=") {
			r.fail(at+t.key, "%q is not a DN -- write for example cn=lb-admins,ou=groups,dc=example,dc=org", t.dn)
		}
	}
	if a.UserFilter != "" && (!strings.Contains(a.UserFilter, "{user}") || !balanced(a.UserFilter)) {
		r.fail(at+"user_filter", "%q is not a filter with {user} in it -- write for example (uid={user})", a.UserFilter)
	}
}

// balanced says whether a filter is one pair of parentheses with pairs in it.
func balanced(filter string) bool {
	depth := 0
	for i, c := range filter {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth < 0 || depth == 0 && i < len(filter)-1 {
			return false
		}
	}
	return depth == 0 && filter != ""
}

func validateAuthText(r *reader, path, text string) {
	switch {
	case len(text) > maxAuthText:
		r.fail(path, "%d bytes are too long -- use at most %d", len(text), maxAuthText)
	case text != strings.TrimSpace(text):
		r.fail(path, "%q begins or ends with a blank -- remove it", text)
	case strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }):
		r.fail(path, "%q has a character that cannot be printed -- remove it", text)
	}
}

// validateAuthServer reports an address that the source has none of.
func validateAuthServer(r *reader, path, s string, a lb.Authentication) {
	if s == "" {
		return // reported where it was read
	}
	if strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ',' }) || len(s) > maxAuthText {
		r.fail(path, "%s is not a server -- write for example %s", strconv.Quote(s), exampleServer(a.Source))
		return
	}
	switch {
	case a.Source == lb.AuthRADIUS && !hostPort(s):
		r.fail(path, "%q is not a RADIUS server -- write its address, or address:port: 192.0.2.7:1812", s)
	case a.Source.Directory():
		validateLDAP(r, path, s, a)
	}
}

func validateLDAP(r *reader, path, s string, a lb.Authentication) {
	u, err := url.Parse(s)
	known := err == nil && slices.Contains([]string{"ldap", "ldaps"}, u.Scheme)
	switch {
	case !known || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || !hostPort(u.Host):
		r.fail(path, "%q is not the address of a directory -- write ldaps://dc1.example.org, or ldap:// with start_tls: true", s)
	case u.Scheme == "ldap" && !a.StartTLS && !a.Insecure:
		r.fail(path, "%q sends passwords as plain text -- write ldaps://%s, or start_tls: true, or insecure: true if that is meant", s, u.Hostname())
	}
}

// hostPort says whether s is a host or a host with a port.
func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), "1"
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return false
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	odd := strings.ContainsFunc(host, func(c rune) bool { return strings.ContainsRune("/@[]?#\\\"'", c) })
	return err == nil && n > 0 && host != "" && !odd
}
