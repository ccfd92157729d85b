package appliance_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/vosbed/vosbed/appliance/api"
)

// nastyTexts are what a person may write into any field.
func nastyTexts() []string {
	return []string{
		`"><script>alert(1)</script>`, "a\r\nX-Evil: 1", "$(reboot)", "`reboot`; reboot", "../../../etc/passwd", "/etc/shadow\x00.yaml", "a\xffb", "{a: &x [*x]}", "!!binary x",
		strings.Repeat("9", 400), strings.Repeat("a,", 30000), "-1", "NaN", "1e400", "0x7f000001", "::ffff:127.0.0.1%eth0", "\u202egnp.exe", " ", "true\ntrue",
	}
}

// TestNastySettings writes such texts into every setting of every object. One that is refused
// is told by its key and changes nothing; one that is accepted is a text and nothing else, so
// the whole is still a configuration, and is the same when it is read again.
func TestNastySettings(t *testing.T) {
	n := furnished(t)
	ctx := t.Context()
	all, err := n.client.DraftServices(ctx)
	n.must(err)
	service, server := all[0].Fields["name"], all[0].Servers[0].Fields["name"]
	node, err := n.client.DraftPart(ctx, "node")
	n.must(err)
	cluster, err := n.client.DraftPart(ctx, "cluster")
	n.must(err)
	for object, o := range map[string]struct {
		fields api.Fields
		set    func(api.Fields) error
	}{
		"service": {all[0].Fields, func(f api.Fields) error { return n.client.SetService(ctx, "", service, f) }},
		"server":  {all[0].Servers[0].Fields, func(f api.Fields) error { return n.client.EditServer(ctx, "", service, server, f) }},
		"new":     {api.Fields{"name": "", "address": "", "ports": ""}, func(f api.Fields) error { return n.client.AddService(ctx, "", f) }},
		"node":    {node.Fields, func(f api.Fields) error { return n.client.SetPart(ctx, "", "node", f) }},
		"cluster": {cluster.Fields, func(f api.Fields) error { return n.client.SetPart(ctx, "", "cluster", f) }},
	} {
		for _, key := range slices.Sorted(maps.Keys(o.fields)) {
			for _, text := range nastyTexts() {
				n.nasty(object, key, text, o.set)
			}
		}
		n.nasty(object, `"><script>`, "x", o.set)
		n.nasty(object, "name\nx", "x", o.set)
	}
	for _, part := range []string{"..", "../../etc/passwd", "Node", "node\x00"} {
		_, err := n.client.DraftPart(ctx, part)
		if problem, is := errors.AsType[*api.ProblemError](err); !is || problem.Problem.Status != http.StatusNotFound {
			t.Errorf("part %q: %v", part, err)
		}
	}
}

// nasty sets one setting to a text, and takes it back.
func (n *node) nasty(object, key, text string, set func(api.Fields) error) {
	n.t.Helper()
	ctx := n.t.Context()
	err := set(api.Fields{key: text})
	draft, failed := n.client.Draft(ctx)
	n.must(failed)
	if err == nil {
		if strings.ContainsFunc(text, unicode.IsControl) {
			n.t.Errorf("%s.%s = %.40q was accepted", object, key, text)
		}
		if _, failed = n.client.DraftServices(ctx); failed != nil {
			n.t.Errorf("%s.%s = %.40q was accepted, and the draft cannot be read: %v", object, key, text, failed)
		}
		if len(draft.Changes) > 0 {
			n.must(n.client.Discard(ctx, ""))
		}
		return
	}
	problem, is := errors.AsType[*api.ProblemError](err)
	if !is || problem.Problem.Status != http.StatusUnprocessableEntity || len(problem.Problem.Fields) == 0 {
		n.t.Errorf("%s.%s = %.40q is answered with %.300v", object, key, text, err)
	}
	if len(draft.Changes) > 0 {
		n.t.Errorf("%s.%s = %.40q was refused, and changed something: %+v", object, key, text, draft.Changes)
		n.must(n.client.Discard(ctx, ""))
	}
}

// TestRestoreOverOthers: what others have made pending meanwhile is not lost by a restore,
// and then nothing else of the backup is taken either.
func TestRestoreOverOthers(t *testing.T) {
	n := furnished(t)
	ctx := t.Context()
	sealed := n.backup(passphrase)
	n.must(n.client.RemoveAccount(ctx, "otto"))
	accounts := n.accounts()
	seen, err := n.client.Draft(ctx)
	n.must(err)
	n.must(n.client.EditServer(ctx, "", "web", "W1", api.Fields{"weight": "7"}))
	_, err = n.client.RestoreBackup(ctx, seen.Tag, api.Restore{File: sealed, Passphrase: passphrase})
	problem, is := errors.AsType[*api.ProblemError](err)
	if !is || problem.Problem.Status != http.StatusConflict {
		t.Errorf("got %v, want a conflict", err)
	}
	draft, err := n.client.Draft(ctx)
	n.must(err)
	if len(draft.Changes) != 1 || n.accounts() != accounts {
		t.Errorf("pending is %+v, and the accounts are %s", draft.Changes, n.accounts())
	}
}
