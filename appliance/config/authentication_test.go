package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// TestAuthenticationSurvivesFormsAndFiles: what a form accepts is what the file says, and
// what the form shows again.
func TestAuthenticationSurvivesFormsAndFiles(t *testing.T) {
	t.Parallel()
	base := mustParse(t, config.Minimal)
	pick := func(t *rapid.T, name string, values ...string) string { return rapid.SampledFrom(values).Draw(t, name) }
	rapid.Check(t, func(t *rapid.T) {
		f := config.Fields{
			"authentication.source":          pick(t, "source", "", "local", "ldap", "active-directory", "radius"),
			"authentication.servers":         pick(t, "servers", "", "ldaps://dc1", "ldap://dc1:390,ldaps://[2001:db8::1]", "192.0.2.7", "r.example.org:1645, 2001:db8::1"),
			"authentication.base_dn":         pick(t, "base", "", "dc=example,dc=org", "null"),
			"authentication.bind_dn":         pick(t, "bind", "", `cn=a\, b,dc=x`),
			"authentication.user_filter":     pick(t, "filter", "", "(mail={user})", "(&(a=b)(c={user}))", "(a={user}", "(a=b)"),
			"authentication.start_tls":       pick(t, "tls", "", "true", "false"),
			"authentication.insecure":        pick(t, "insecure", "", "true", "false"),
			"authentication.timeout":         pick(t, "timeout", "", "2s", "9s"),
			"authentication.groups.admin":    pick(t, "admin", "", "cn=a,dc=x"),
			"authentication.groups.operator": pick(t, "operator", "", rapid.StringMatching(`[ -~äß=]{0,8}`).Draw(t, "any")),
		}
		n, err := config.SetNode(base.Node, f)
		if err != nil {
			for key := range fieldErrorsOf(t, err) {
				if _, ours := f[key]; !ours {
					t.Fatalf("a mistake at %q: %v", key, err)
				}
			}
			return
		}
		again, err := config.SetNode(lb.Node{}, config.NodeFields(n))
		if diff := cmp.Diff(n, again, values()); err != nil || diff != "" {
			t.Fatalf("%v, after its form (-want +got):\n%s", err, diff)
		}
		cfg := base
		cfg.Node = n
		text, err := config.Encode(cfg)
		if err != nil {
			t.Fatalf("what a form accepts is refused: %v", err)
		}
		parsed, err := config.Parse("again", text)
		if diff := cmp.Diff(cfg, parsed, values()); err != nil || diff != "" {
			t.Fatalf("%v, after its file (-want +got):\n%s", err, diff)
		}
	})
}

func fieldErrorsOf(t *rapid.T, err error) config.FieldsError {
	wrong, ok := errors.AsType[config.FieldsError](err)
	if !ok {
		t.Fatalf("%v is no mistake in fields", err)
	}
	return wrong
}

func TestAuthenticationDefaults(t *testing.T) {
	t.Parallel()
	n, err := config.SetNode(mustParse(t, config.Minimal).Node, config.Fields{
		"authentication.source": "ldap", "authentication.servers": "ldaps://dc1", "authentication.base_dn": "dc=x", "authentication.groups.auditor": "cn=y",
	})
	if a := n.Authentication; err != nil || a.Timeout != 5*time.Second || a.Filter() != "(uid={user})" || a.Insecure || a.StartTLS {
		t.Errorf("%+v, %v", a, err)
	}
	n, err = config.SetNode(n, config.Fields{"authentication.source": "local"})
	if err != nil || len(n.Authentication.Servers) != 1 {
		t.Errorf("what belongs to another source does not stay: %+v, %v", n.Authentication, err)
	}
	for _, key := range config.Scopes() {
		if strings.Contains(key.Path, "authentication") && key.Scope != config.NodeScope {
			t.Errorf("%s travels to the peer", key.Path)
		}
	}
}
