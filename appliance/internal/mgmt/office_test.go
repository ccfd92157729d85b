package mgmt

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/feed"
	"github.com/vosbed/vosbed/appliance/internal/logbook"
	"github.com/vosbed/vosbed/appliance/internal/rates"
	"github.com/vosbed/vosbed/appliance/lb"
)

// openPeople makes empty accounts in a folder.
func openPeople(t *testing.T, dir string, out Directory) People {
	t.Helper()
	store, err := accounts.Open(filepath.Join(dir, "accounts.json"))
	if err != nil {
		t.Fatal(err)
	}
	trail, err := accounts.OpenTrail(filepath.Join(dir, "audit"))
	if err != nil {
		t.Fatal(err)
	}
	return People{
		Directory: out,
		Accounts:  store, Trail: trail, Gate: accounts.NewGate(func() time.Time { return epoch }),
		Sessions: accounts.NewSessions(accounts.SessionOptions{Now: func() time.Time { return epoch }}),
	}
}

func (f *fake) Draft(context.Context) (api.Draft, error) {
	return api.Draft{Tag: "t1", Base: "r1", Changes: []api.Change{{Text: "VIP a added"}}}, nil
}

func (f *fake) Read(_ context.Context, at Place) (api.ServiceDraft, error) {
	return api.ServiceDraft{Tag: "t1", Fields: api.Fields{"name": at.Service + at.Part}}, f.note("read %v", at)
}

func (f *fake) Services(context.Context) ([]api.ServiceDraft, error) {
	return []api.ServiceDraft{{Tag: "t1"}}, f.note("services")
}

func (f *fake) Write(_ context.Context, by By, at Place, fields api.Fields, add bool) error {
	return f.note("write %v %v %v %t", by, at, fields, add)
}

func (f *fake) Restore(_ context.Context, by By, yaml []byte) error {
	return f.note("restore %v %s", by, yaml)
}

func (f *fake) Apply(_ context.Context, by By, within time.Duration) error {
	return f.note("apply %v %v", by, within)
}

func (f *fake) End(_ context.Context, by By, verb string) error { return f.note("%s %v", verb, by) }

func (f *fake) History(context.Context) ([]api.Revision, error) {
	return []api.Revision{{Number: 7, Revision: "r1"}}, f.note("history")
}

func (f *fake) Revision(_ context.Context, number int) ([]byte, error) {
	return []byte("node:\n"), f.note("revision %d", number)
}

func (f *fake) Revert(_ context.Context, by By, number int) error {
	return f.note("revert %v %d", by, number)
}

// kept is the fake's backups: another Restore is that of its draft.
type kept struct{ *fake }

func (k kept) Backup(_ context.Context, passphrase string) (file []byte, holds []string, err error) {
	return []byte("packed"), []string{"configuration r1", "accounts"}, k.note("backup %s", passphrase)
}

func (k kept) Restore(_ context.Context, by By, want api.Restore) (api.Restored, error) {
	return api.Restored{Node: "lb1", Revision: "r1", Restored: []string{"the accounts"}}, k.note("unpack %v %s %s", by, want.File, want.Passphrase)
}

func (f *fake) Checks(context.Context) (api.SupportChecks, error) {
	return api.SupportChecks{Verdict: api.CheckOK}, f.note("checks")
}

func (f *fake) Archive(_ context.Context, w io.Writer) error {
	if err := f.note("archive"); err != nil {
		return err
	}
	_, err := w.Write([]byte("packed"))
	return err
}

func (f *fake) LookAt(_ context.Context, address string) (api.PeerReport, error) {
	return api.PeerReport{Address: address}, f.note("look %s", address)
}

func (f *fake) Create(_ context.Context, user string, want api.PairCreate) error {
	return f.note("create %s %s", user, want.Address)
}

func (f *fake) Join(_ context.Context, want api.PairJoin) (api.PairJoined, error) {
	return api.PairJoined{Secondary: "lb2"}, f.note("join %s", want.Primary)
}
func (f *fake) Break(_ context.Context, user string) error { return f.note("break %s", user) }

func (f *fake) Lines(least slog.Level) []feed.Item[logbook.Line] {
	return slices.DeleteFunc(f.lines.All(), func(l feed.Item[logbook.Line]) bool { return l.Value.Level < least })
}

func (f *fake) Feed() *feed.Feed[logbook.Line] { return f.lines }

func (f *fake) Stats(span time.Duration) api.Stats { return api.Stats{From: epoch, Step: span} }

func (f *fake) Rates() map[lb.RealID]rates.Rate {
	flow := rates.Flow{Conns: 1.5, PacketsIn: 10, BytesIn: 1000}
	return map[lb.RealID]rates.Rate{{Service: "Harmonic_Traffic", Real: "HT1"}: {Now: flow, Avg: flow, Max: flow}}
}
