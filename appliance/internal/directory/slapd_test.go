package directory_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/directory"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/devtls"
	"github.com/vosbed/vosbed/internal/testenv"
)

// slapdConf is a directory with what of the schema of Active Directory is asked for, and
// with the overlay that keeps memberOf. Nobody may read without binding, and passwords are
// for binding only.
const slapdConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP inetOrgPerson STRUCTURAL MAY sAMAccountName )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile DIR/pid
argsfile DIR/args
TLSCertificateFile DIR/cert.pem
TLSCertificateKeyFile DIR/key.pem
database mdb
suffix dc=example,dc=org
rootdn cn=admin,dc=example,dc=org
rootpw manager
directory DIR/db
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=example,dc=org" read by * none
`

// people are known by uid; ada has a twin with the same mail address.
const people = `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: cn=reader,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reading is fun

dn: uid=ada,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: user
uid: ada
sAMAccountName: Ada
cn: Ada
sn: Lovelace
mail: twin@example.org
userPassword: enchantress

dn: uid=otto,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: user
uid: otto
sAMAccountName: otto
cn: Otto (the (second)
sn: Lilienthal
mail: twin@example.org
userPassword: gliding along

dn: uid=nemo,dc=example,dc=org
objectClass: inetOrgPerson
uid: nemo
cn: Nemo
sn: Nobody
userPassword: twenty thousand

dn: cn=readers,dc=example,dc=org
objectClass: posixGroup
cn: readers
gidNumber: 7
memberUid: pia

dn: uid=pia,dc=example,dc=org
objectClass: inetOrgPerson
uid: pia
cn: Pia
sn: Posix
userPassword: portable shell
`

// groups come later, so that the overlay sees them.
const groups = `dn: cn=admins,dc=example,dc=org
objectClass: groupOfNames
cn: admins
member: uid=ada,dc=example,dc=org

dn: cn=operators,dc=example,dc=org
objectClass: groupOfNames
cn: operators
member: uid=otto,dc=example,dc=org
member: uid=ada,dc=example,dc=org

dn: cn=unique,dc=example,dc=org
objectClass: groupOfUniqueNames
cn: unique
uniqueMember: uid=otto,dc=example,dc=org
`

// slapd is a directory of this test.
type slapd struct{ plain, secure, ca string }

func startSlapd(t *testing.T) slapd {
	t.Helper()
	program := tool(t, "slapd")
	dir := t.TempDir()
	cert, err := devtls.Load(dir, devtls.Names{Host: "dc1", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ca := writeTLS(t, dir, cert)
	if err = os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := write(t, dir, "slapd.conf", strings.ReplaceAll(slapdConf, "DIR", dir))
	fill(t, program, conf, write(t, dir, "people.ldif", people))
	plain, secure := freePort(t, "tcp"), freePort(t, "tcp")
	run(t, func() bool { return answers(t, plain) && answers(t, secure) }, program, "-d", "0", "-f", conf,
		"-h", "ldap://127.0.0.1:"+plain+" ldaps://127.0.0.1:"+secure)
	s := slapd{"ldap://127.0.0.1:" + plain, "ldaps://127.0.0.1:" + secure, ca}
	out, err := exec.CommandContext(t.Context(), testenv.RequireTool(t, "ldapadd"), "-x", "-H", s.plain, "-D", "cn=admin,dc=example,dc=org", "-w", "manager",
		"-f", write(t, dir, "groups.ldif", groups)).CombinedOutput()
	if err != nil {
		t.Fatalf("ldapadd: %v\n%s", err, out)
	}
	return s
}

// fill is slapadd, which Debian ships as another name of slapd.
func fill(t *testing.T, program, conf, ldif string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-f", conf, "-l", ldif)
	cmd.Args[0] = "slapadd"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
}

func (s slapd) settings(server string) lb.Authentication {
	return lb.Authentication{
		Source: lb.AuthLDAP, Servers: []string{server}, BaseDN: "dc=example,dc=org", BindDN: "cn=reader,dc=example,dc=org", CAFile: s.ca,
		Groups: lb.AuthGroups{
			Admin: "CN=admins, dc=example, dc=org", Operator: "cn=operators,dc=example,dc=org", Auditor: "cn=readers,dc=example,dc=org",
		},
	}
}

const reading = "reading is fun"

func check(t *testing.T, a lb.Authentication, user, password string) (accounts.Role, error) {
	t.Helper()
	return directory.New(directory.Options{Settings: a, Secret: reading, Node: "lb1"}).Check(t.Context(), user, password)
}

func unavailable(t *testing.T, err error, words ...string) {
	t.Helper()
	if _, ok := errors.AsType[*directory.UnavailableError](err); !ok || errors.Is(err, directory.ErrWrong) {
		t.Errorf("%v is not: could not be asked", err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("no %q in %q", w, err)
		}
	}
}

func TestLDAP(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	for name, edit := range map[string]func(*lb.Authentication){
		"plain":    func(a *lb.Authentication) { a.Servers, a.Insecure = []string{s.plain}, true },
		"StartTLS": func(a *lb.Authentication) { a.Servers, a.StartTLS = []string{s.plain}, true },
		"LDAPS":    func(*lb.Authentication) {},
	} {
		a := s.settings(s.secure)
		edit(&a)
		for _, one := range []struct {
			user, password string
			role           accounts.Role
			err            error
		}{
			{"ada", "enchantress", accounts.Admin, nil},
			{"otto", "gliding along", accounts.Operator, nil},
			{"pia", "portable shell", accounts.Auditor, nil},
			{"nemo", "twenty thousand", 0, directory.ErrNoRole},
			{"nemo", "wrong", 0, directory.ErrWrong},
			{"ada", "wrong", 0, directory.ErrWrong},
			{"ada", "", 0, directory.ErrWrong},
			{"", "enchantress", 0, directory.ErrWrong},
			{"nobody", "enchantress", 0, directory.ErrWrong},
			{"*)(uid=*", "enchantress", 0, directory.ErrWrong},
			{"ada)(cn=*", "enchantress", 0, directory.ErrWrong},
			{"ad*", "enchantress", 0, directory.ErrWrong},
			{"ada\x00", "enchantress", 0, directory.ErrWrong},
			{"{user}", "enchantress", 0, directory.ErrWrong},
			{strings.Repeat("a", 9999), "enchantress", 0, directory.ErrWrong},
		} {
			if role, err := check(t, a, one.user, one.password); role != one.role || !errors.Is(err, one.err) {
				t.Errorf("%s: %.20q with %q: %v, %v; want %v, %v", name, one.user, one.password, role, err, one.role, one.err)
			}
		}
	}
}

func TestLDAPSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	other := writeTLS(t, t.TempDir(), otherCert(t))
	for name, one := range map[string]struct {
		edit  func(*lb.Authentication)
		words string
	}{
		"plain text":     {func(a *lb.Authentication) { a.Servers = []string{s.plain} }, "plain text"},
		"wrong CA":       {func(a *lb.Authentication) { a.CAFile = other }, "certificate"},
		"wrong CA later": {func(a *lb.Authentication) { a.CAFile, a.Servers, a.StartTLS = other, []string{s.plain}, true }, "certificate"},
		"system's CA":    {func(a *lb.Authentication) { a.CAFile = "" }, "certificate"},
		"other name": {func(a *lb.Authentication) {
			a.Servers = []string{strings.Replace(s.secure, "127.0.0.1", "localhost", 1)}
		}, "localhost"},
		"no CA":           {func(a *lb.Authentication) { a.CAFile = "/nowhere" }, "ca_file"},
		"a pipe":          {func(a *lb.Authentication) { a.CAFile = pipe(t) }, "is no file"},
		"no certificate":  {func(a *lb.Authentication) { a.CAFile = write(t, t.TempDir(), "x", "hello") }, "holds no certificate"},
		"reader":          {func(a *lb.Authentication) { a.BindDN = "cn=nobody,dc=example,dc=org" }, "bind_dn"},
		"several entries": {func(a *lb.Authentication) { a.UserFilter = "(|(uid={user})(mail=twin@example.org))" }, "several entries"},
		"broken filter":   {func(a *lb.Authentication) { a.UserFilter = "((uid={user})" }, "search"},
		"another base":    {func(a *lb.Authentication) { a.BaseDN = "dc=example,dc=net" }, "base_dn"},
		"nobody at home":  {func(a *lb.Authentication) { a.Servers = []string{"ldaps://127.0.0.1:1"} }, "refused"},
		"TLS without any": {func(a *lb.Authentication) { a.Servers = []string{strings.Replace(s.plain, "ldap:", "ldaps:", 1)} }, "TLS"},
		"a silent server": {func(a *lb.Authentication) { a.Servers, a.Timeout = []string{silent(t)}, 300*time.Millisecond }, "127.0.0.1"},
		"an endless one":  {func(a *lb.Authentication) { a.Servers, a.Insecure = []string{endless(t)}, true }, "127.0.0.1"},
	} {
		a := s.settings(s.secure)
		one.edit(&a)
		began := time.Now()
		role, err := check(t, a, "ada", "enchantress")
		if role != 0 {
			t.Errorf("%s: %v", name, role)
		}
		if spent := time.Since(began); spent > 4*time.Second {
			t.Errorf("%s took %v", name, spent)
		}
		t.Run(name, func(t *testing.T) { unavailable(t, err, one.words) })
	}
}

func TestLDAPWithoutThePasswordOfTheReader(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	_, err := directory.New(directory.Options{Settings: s.settings(s.secure)}).Check(t.Context(), "ada", "enchantress")
	unavailable(t, err, "bind_dn", "not known")
	a := s.settings(s.secure)
	a.BindDN = "" // anonymously nobody is found
	if role, err := check(t, a, "ada", "enchantress"); role != 0 || err == nil {
		t.Errorf("%v, %v", role, err)
	}
}

func TestLDAPAsksTheSecondServer(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	a := s.settings(s.secure)
	a.Servers = []string{"ldaps://127.0.0.1:1", silent(t), s.secure}
	a.Timeout = 2 * time.Second
	if role, err := check(t, a, "ada", "enchantress"); role != accounts.Admin {
		t.Errorf("%v, %v", role, err)
	}
	if _, err := check(t, a, "ada", "wrong"); !errors.Is(err, directory.ErrWrong) {
		t.Errorf("a wrong password: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := directory.New(directory.Options{Settings: a, Secret: reading}).Check(ctx, "ada", "enchantress")
	unavailable(t, err)
}

// TestActiveDirectory is as far as slapd can imitate it: sAMAccountName and memberOf.
func TestActiveDirectory(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	a := s.settings(s.secure)
	a.Source = lb.AuthActiveDirectory
	a.Groups.Auditor = "cn=unique,dc=example,dc=org"
	for user, want := range map[string]accounts.Role{"ada": accounts.Admin, "ADA": accounts.Admin, "otto": accounts.Operator} {
		password := map[string]string{"ada": "enchantress", "otto": "gliding along"}[strings.ToLower(user)]
		if role, err := check(t, a, user, password); role != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", user, role, err, want)
		}
	}
	if role, err := check(t, a, "nemo", "twenty thousand"); role != 0 || !errors.Is(err, directory.ErrWrong) {
		t.Errorf("nemo is no user of Active Directory: %v, %v", role, err)
	}
	a.Source, a.Groups.Operator = lb.AuthLDAP, ""
	if role, err := check(t, a, "otto", "gliding along"); role != accounts.Auditor || err != nil {
		t.Errorf("uniqueMember: %v, %v", role, err)
	}
}

// pipe is a file of which a reader would wait for ever.
func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSecretIsWithheld: of a server for which it was not given.
func TestSecretIsWithheld(t *testing.T) {
	t.Parallel()
	called := make(chan struct{}, 1)
	theirs := "ldap://" + listen(t, func(net.Conn) { called <- struct{}{} })
	a := lb.Authentication{Source: lb.AuthLDAP, Servers: []string{theirs}, BaseDN: "dc=example,dc=org", BindDN: "cn=reader", Insecure: true}
	_, err := directory.New(directory.Options{Settings: a, Secret: reading, Withheld: a.Servers}).Check(t.Context(), "ada", "enchantress")
	unavailable(t, err, theirs, "given for other servers")
	if len(called) > 0 {
		t.Error("it was called")
	}
}

// tool finds a program that Debian keeps where only root looks.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return path
	}
	return testenv.RequireTool(t, name)
}

// silent is a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	return "ldaps://" + listen(t, func(net.Conn) {})
}

// endless says more than anybody wants to hear.
func endless(t *testing.T) string {
	t.Helper()
	return "ldap://" + listen(t, func(c net.Conn) {
		_, err := c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0x00})
		for zeros := make([]byte, 1<<16); err == nil; {
			_, err = c.Write(zeros)
		}
	})
}

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go serve(c)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// TestFiltersCompile: the usual filters are ones, whatever a person is called.
func TestFiltersCompile(t *testing.T) {
	t.Parallel()
	for _, source := range []lb.AuthSource{lb.AuthLDAP, lb.AuthActiveDirectory} {
		filter := strings.ReplaceAll(lb.Authentication{Source: source}.Filter(), "{user}", ldap.EscapeFilter(`*)(\`))
		if _, err := ldap.CompileFilter(filter); err != nil {
			t.Errorf("%s: %v", filter, err)
		}
	}
}
