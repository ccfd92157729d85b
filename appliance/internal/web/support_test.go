package web_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
)

// sickTree has a branch of every verdict.
func sickTree() api.SupportChecks {
	return api.SupportChecks{At: noon(), Verdict: api.CheckFailed, Groups: []api.SupportGroup{
		{Name: "Node", Verdict: api.CheckOK, Checks: []api.SupportCheck{{Name: "Memory", Verdict: api.CheckOK, Seen: "2048 of 4096 MiB are free"}}},
		{Name: "Network", Verdict: api.CheckWarning, Checks: []api.SupportCheck{{Name: "MTU", Verdict: api.CheckWarning, Seen: "the interfaces differ", Fix: "give all the same"}}},
		{Name: "Services", Verdict: api.CheckFailed, Checks: []api.SupportCheck{
			{Name: "VIP Harmonic_Traffic", Verdict: api.CheckFailed, Seen: "no real server of 2 serves", Fix: "bring one online"},
			{Name: "ARP conflicts", Verdict: api.CheckOK, Seen: "nobody else answers"},
		}},
		{Name: "Pair", Verdict: api.CheckNotApplicable, Checks: []api.SupportCheck{{Name: "Pair", Verdict: api.CheckNotApplicable, Seen: "this node has no peer"}}},
	}}
}

// TestSupport: the tree is in words, what failed is unfolded, and the archive is a file.
func TestSupport(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.open("/lbadmin/support").want(200, "Create support download", "✖ Failed", "▲ Warning", "✔ OK", "– Not applicable", "bring one online", "1 failed, 1 ok", "2026-03-04 12:00:00 UTC")
	for name, want := range map[string]bool{"Node": false, "Network": true, "Services": true, "Pair": false} {
		branches := all(p.doc, func(n *html.Node) bool {
			return n.Data == "details" && strings.Contains(text(n), name) && attr(n.Parent.Parent, "class") == "tree"
		})
		if len(branches) == 0 {
			t.Fatalf("there is no branch %s", name)
		}
		open := false
		for _, a := range branches[0].Attr {
			open = open || a.Key == "open"
		}
		if open != want {
			t.Errorf("%s is unfolded: %t, want %t", name, open, want)
		}
	}
	wellFormed(t, p)
	file := d.open("/lbadmin/support.tar.gz")
	if file.Status != 200 || file.Header.Get("Content-Type") != "application/gzip" || file.Body != "packed" ||
		file.Header.Get("Content-Disposition") != `attachment; filename="vosbed-support-20260304-120000.tar.gz"` {
		t.Errorf("the file: %d %v %q", file.Status, file.Header, file.Body)
	}
	d.lb.answer("GET "+api.PathSupportArchive, api.Problem{Status: http.StatusConflict, Detail: "a support download is being made already"})
	if p := d.open("/lbadmin/support.tar.gz").want(409, "is being made already"); p.Header.Get("Content-Disposition") != "" {
		t.Error("a refusal is a file")
	}
	sit(t, api.RoleAuditor).open("/lbadmin/support").want(200, "no real server of 2 serves").without("Create support download")
}

// TestSupportIsText: whatever the daemon saw is no markup.
func TestSupportIsText(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	tree := sickTree()
	poison(reflect.ValueOf(&tree).Elem())
	d.lb.answer("GET "+api.PathSupportChecks, tree)
	p := d.open("/lbadmin/support").want(200, attack)
	inert(t, "support", p.doc)
}

func TestSupportGolden(t *testing.T) {
	t.Parallel()
	golden(t, "support", sit(t, api.RoleAdmin).open("/lbadmin/support").want(200))
}
