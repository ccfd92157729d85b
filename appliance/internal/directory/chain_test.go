package directory_test

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/lb"
)

// chain answers as Active Directory does about an entry whose group is in another group,
// which slapd cannot: the entry's own memberOf has not the outer one. It answers binds with
// success, and searches as far as this one question goes.
func chain(c net.Conn) {
	const dn = "CN=Ada,DC=example,DC=org"
	r := bufio.NewReader(c)
	for {
		p, err := ber.ReadPacket(r)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, _ := p.Children[0].Value.(int64)
		op := p.Children[1]
		if op.Tag == ldap.ApplicationBindRequest {
			say(c, id, done(ldap.ApplicationBindResponse))
			continue
		}
		if op.Tag != ldap.ApplicationSearchRequest {
			return
		}
		filter, _ := ldap.DecompileFilter(op.Children[6])
		base, _ := op.Children[0].Value.(string)
		nested := filter == "(memberOf:1.2.840.113556.1.4.1941:=CN=outer,DC=example,DC=org)" && base == dn
		if nested || filter == "(&(objectClass=user)(sAMAccountName=ada))" {
			say(c, id, entry(dn, "CN=inner,DC=example,DC=org"))
		}
		say(c, id, done(ldap.ApplicationSearchResultDone))
	}
}

func say(c net.Conn, id int64, op *ber.Packet) {
	p := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	_, _ = c.Write(p.Bytes())
}

func done(tag ber.Tag) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, 0, ""))
	p.AppendChild(text(""))
	p.AppendChild(text(""))
	return p
}

func entry(dn, memberOf string) *ber.Packet {
	values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	values.AppendChild(text(memberOf))
	one := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	one.AppendChild(text("memberOf"))
	one.AppendChild(values)
	list := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	list.AppendChild(one)
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(text(dn))
	p.AppendChild(list)
	return p
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// TestReasonsAreBoundedAndClean: what a server says of itself goes to terminals and logs.
func TestReasonsAreBoundedAndClean(t *testing.T) {
	t.Parallel()
	nasty := "ldap://" + listen(t, func(c net.Conn) {
		p, err := ber.ReadPacket(bufio.NewReader(c))
		if err != nil {
			return
		}
		id, _ := p.Children[0].Value.(int64)
		answer := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindResponse, nil, "")
		answer.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, 52, ""))
		answer.AppendChild(text(""))
		answer.AppendChild(text("\x1b]0;gone\x07\n" + strings.Repeat("é", 9999)))
		say(c, id, answer)
	})
	_, err := check(t, lb.Authentication{Source: lb.AuthLDAP, Servers: []string{nasty}, Insecure: true, BaseDN: "dc=x", BindDN: "cn=reader"}, "ada", "any")
	unavailable(t, err, "bind_dn", "gone", "…")
	if got := err.Error(); len(got) > 1000 || strings.ContainsFunc(got, unicode.IsControl) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// FuzzDirectory: whatever a server answers, nothing panics, and who is in no group that has
// a role does not get in.
func FuzzDirectory(f *testing.F) {
	ok := done(ldap.ApplicationBindResponse).Bytes()
	f.Add([]byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x61, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00})
	f.Add(append([]byte{0x30, byte(3 + len(ok)), 0x02, 0x01, 0x02}, ok...))
	f.Add(entry("CN=Ada", "CN=x").Bytes())
	f.Add([]byte{0x30, 0x80, 0x02, 0x01, 0x01, 0x64, 0x00})
	f.Fuzz(func(t *testing.T, answer []byte) {
		server := "ldap://" + listen(t, func(c net.Conn) { _, _ = c.Write(answer); _ = c.Close() })
		a := lb.Authentication{Source: lb.AuthLDAP, Servers: []string{server}, Insecure: true, BaseDN: "dc=x", BindDN: "cn=reader", Timeout: time.Second}
		if role, err := check(t, a, "ada", "any"); role != 0 || err == nil {
			t.Errorf("%v, %v", role, err)
		}
	})
}

func TestGroupsInGroupsOfActiveDirectory(t *testing.T) {
	t.Parallel()
	a := lb.Authentication{
		Source: lb.AuthActiveDirectory, Servers: []string{"ldap://" + listen(t, chain)}, Insecure: true, BaseDN: "DC=example,DC=org",
		Groups: lb.AuthGroups{Admin: "CN=others,DC=example,DC=org", Operator: "CN=outer,DC=example,DC=org", Auditor: "CN=inner,DC=example,DC=org"},
	}
	if role, err := check(t, a, "ada", "any"); role != accounts.Operator || err != nil {
		t.Errorf("%v, %v, want the role of the outer group", role, err)
	}
}
