package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/lb"
)

// inChain is the matching rule by which Active Directory follows groups in groups
// (LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] 3.1.1.3.4.4.3).
const inChain = "1.2.840.113556.1.4.1941"

// directory asks by LDAP.
type directory struct{ Options }

// Check finds the one entry of the person and binds as it.
func (d *directory) Check(ctx context.Context, user, password string) (accounts.Role, error) {
	if !plausible(user, password) {
		return 0, ErrWrong
	}
	return d.inOrder(ctx, func(ctx context.Context, server string) (accounts.Role, error) {
		conn, err := d.dial(ctx, server)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		return d.check(conn, user, password)
	})
}

// check looks everything up first, because after the last bind the connection has the
// rights of the person.
func (d *directory) check(conn *ldap.Conn, user, password string) (accounts.Role, error) {
	if err := d.bindReader(conn); err != nil {
		return 0, err
	}
	entry, err := d.find(conn, user)
	if err != nil {
		return 0, err
	}
	role, err := roleOf(d.Settings.Groups, func(group string) (bool, error) { return d.member(conn, entry, group) })
	if err != nil {
		return 0, fmt.Errorf("look up the groups: %w", err)
	}
	if err := conn.Bind(entry.DN, password); err != nil {
		return 0, refusal(err)
	}
	if role == 0 {
		return 0, ErrNoRole
	}
	return role, nil
}

// bindReader binds as who may search. A wrong password of it is not the person's.
func (d *directory) bindReader(conn *ldap.Conn) error {
	if d.Settings.BindDN == "" {
		return nil
	}
	if d.Secret == "" {
		return errors.New("the password of bind_dn is not known: give it in the WebUI or by lbctl auth secret")
	}
	if err := conn.Bind(d.Settings.BindDN, d.Secret); err != nil {
		return fmt.Errorf("log in as bind_dn: %w", err)
	}
	return nil
}

// refusal tells a refused person from a directory that could not say.
func refusal(err error) error {
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication,
		ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConstraintViolation, ldap.LDAPResultNoSuchObject) {
		return ErrWrong
	}
	return fmt.Errorf("log in as the person: %w", err)
}

// find returns the entry of a person: the one that the filter finds.
func (d *directory) find(conn *ldap.Conn, user string) (*ldap.Entry, error) {
	filter := strings.ReplaceAll(d.Settings.Filter(), "{user}", ldap.EscapeFilter(user))
	found, err := conn.Search(search(d.Settings.BaseDN, ldap.ScopeWholeSubtree, filter, "memberOf", "uid"))
	more := ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded)
	switch {
	case err != nil && !more:
		return nil, fmt.Errorf("search %s below base_dn: %w", filter, err)
	case more || len(found.Entries) > 1:
		return nil, fmt.Errorf("several entries match %s: write a user_filter that finds one", filter)
	case len(found.Entries) == 0 || found.Entries[0].DN == "":
		return nil, ErrWrong
	}
	return found.Entries[0], nil
}

// mostEntries is one more than what is looked for.
const mostEntries = 2

func search(base string, scope int, filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, mostEntries, 0, false, filter, attributes, nil)
}

// member says whether a group has the entry as member: by the entry's memberOf, or else by
// asking the directory.
func (d *directory) member(conn *ldap.Conn, entry *ldap.Entry, group string) (bool, error) {
	if slices.ContainsFunc(entry.GetEqualFoldAttributeValues("memberOf"), func(dn string) bool { return sameDN(dn, group) }) {
		return true, nil
	}
	base, filter := group, memberFilter(entry)
	if d.Settings.Source == lb.AuthActiveDirectory {
		base, filter = entry.DN, fmt.Sprintf("(memberOf:%s:=%s)", inChain, ldap.EscapeFilter(group))
	}
	found, err := conn.Search(search(base, ldap.ScopeBaseObject, filter, "1.1"))
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) { // there is no such group
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return len(found.Entries) > 0, nil
}

// memberFilter matches the groups of RFC 4519 (member, uniqueMember) and RFC 2307
// (memberUid) that have an entry as member.
func memberFilter(entry *ldap.Entry) string {
	dn := ldap.EscapeFilter(entry.DN)
	either := []string{"(member=" + dn + ")", "(uniqueMember=" + dn + ")"}
	for _, uid := range entry.GetEqualFoldAttributeValues("uid") {
		either = append(either, "(memberUid="+ldap.EscapeFilter(uid)+")")
	}
	return "(|" + strings.Join(either, "") + ")"
}

// sameDN compares names without regard to capitals and blanks.
func sameDN(a, b string) bool {
	left, errLeft := ldap.ParseDN(a)
	right, errRight := ldap.ParseDN(b)
	return errLeft == nil && errRight == nil && left.EqualFold(right)
}
