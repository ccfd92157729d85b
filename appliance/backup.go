package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/backup"
	"github.com/vosbed/vosbed/appliance/internal/fallback"
	"github.com/vosbed/vosbed/appliance/internal/identity"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

// Files of a backup that are not parts.
const (
	configurationFile = "configuration.yaml"
	sealedFile        = "sealed.age"
)

// backups keep the node elsewhere and bring it back.
type backups struct {
	*Appliance
	people mgmt.People
	one    sync.Mutex // at a time: to seal takes memory
}

// part is one thing of a node, besides its configuration, that a backup holds. To add one
// is a line in parts.
type part struct {
	file, what string
	secret     bool                   // leaves the node sealed only
	own        bool                   // is of this very node: another one's is left out
	read       func() ([]byte, error) // no text = there is none
	check      func([]byte) error
	write      func(context.Context, []byte) error
}

func (b *backups) parts() []part {
	return slices.Concat([]part{
		{file: "accounts.json", what: "accounts", secret: true, read: b.readAccounts, check: accounts.CheckExport, write: b.writeAccounts},
		{file: "certificate.pem", what: "certificate", secret: true, own: true, read: b.access.uploaded.Export, check: checkCertificate, write: b.writeCertificate},
		{file: "fallback.html", what: "fallback page", read: b.readPage, check: fallback.Check, write: b.writePage},
	}, external{Appliance: b.Appliance}.secretParts())
}

func checkCertificate(text []byte) error { return identity.CheckExport(text, time.Now()) }

// writeCertificate takes the certificate in use at once.
func (b *backups) writeCertificate(ctx context.Context, text []byte) error {
	_, err := doorkeeper{b.Appliance}.shownAgain(ctx, b.access.uploaded.Import(text, time.Now()))
	return err
}

// readPage returns nothing while the fallback page is the built-in one.
func (b *backups) readPage() ([]byte, error) {
	page, own := b.access.page.Page()
	if !own {
		return nil, nil
	}
	return page, nil
}

func (b *backups) writePage(ctx context.Context, page []byte) error {
	return doorkeeper{b.Appliance}.SetPage(ctx, string(page))
}

// readAccounts returns nothing while nobody may log in.
func (b *backups) readAccounts() ([]byte, error) {
	if b.people.Accounts.Empty() {
		return nil, nil
	}
	return b.people.Accounts.Export()
}

// writeAccounts replaces the accounts. Who has another password or none now has to log in
// again; the others go on with the role that they have now.
func (b *backups) writeAccounts(_ context.Context, data []byte) error {
	gone, err := b.people.Accounts.Import(data)
	if err != nil {
		return err
	}
	for _, name := range gone {
		b.people.Sessions.EndUser(name, "")
	}
	for _, a := range b.people.Accounts.List() {
		b.people.Sessions.SetRole(a.Name, a.Role)
	}
	return nil
}

// Backup packs the configuration in force and the parts.
func (b *backups) Backup(ctx context.Context, passphrase string) (file []byte, holds []string, err error) {
	if passphrase != "" {
		if wrong := backup.CheckPassphrase(passphrase); wrong != nil {
			return nil, nil, &mgmt.FieldsError{Fields: map[string]string{"passphrase": wrong.Error()}}
		}
	}
	if !b.one.TryLock() {
		return nil, nil, errBusy()
	}
	defer b.one.Unlock()
	text, revision, err := backend{b.Appliance}.Config(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg, _ := b.facts.current()
	out := backup.Backup{
		Head:  backup.Head{Version: buildinfo.Get().Version, Node: cfg.Node.Name, Revision: revision},
		Files: []backup.File{{Name: configurationFile, Data: text}},
	}
	open, secret, holds, err := b.collect(passphrase != "")
	if err != nil {
		return nil, nil, err
	}
	out.Files = append(out.Files, open...)
	if len(secret) > 0 {
		sealed, failed := backup.Seal(secret, passphrase)
		if failed != nil {
			return nil, nil, failed
		}
		out.Files = append(out.Files, backup.File{Name: sealedFile, Data: sealed})
	}
	file, err = backup.Encode(out)
	return file, append([]string{"configuration " + revision}, holds...), err
}

func errBusy() error {
	return fmt.Errorf("%w: another backup is being made or restored: try again in a moment", mgmt.ErrRefused)
}

// collect reads the parts.
func (b *backups) collect(secrets bool) (open, secret []backup.File, holds []string, err error) {
	for _, p := range b.parts() {
		if p.secret && !secrets {
			continue
		}
		data, err := p.read()
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read the %s: %w", p.what, err)
		}
		if len(data) == 0 {
			continue
		}
		to := &open
		if p.secret {
			to = &secret
		}
		*to = append(*to, backup.File{Name: p.file, Data: data})
		holds = append(holds, p.what)
	}
	return open, secret, holds, nil
}

// Restore looks at the whole file before anything is written. The configuration becomes
// the pending one first: what could refuse it comes before what replaces something.
func (b *backups) Restore(ctx context.Context, by mgmt.By, want api.Restore) (api.Restored, error) {
	if !b.one.TryLock() {
		return api.Restored{}, errBusy()
	}
	defer b.one.Unlock()
	file, err := backup.Decode(want.File)
	if err != nil {
		return api.Restored{}, &mgmt.InvalidError{Detail: "the backup is refused: nothing was changed", Errors: strings.Split(err.Error(), "\n")}
	}
	own, _ := b.facts.current()
	r := restoring{backups: b, file: file, foreign: file.Node != own.Node.Name, passphrase: want.Passphrase}
	r.out = api.Restored{Node: file.Node, Version: file.Version, Revision: file.Revision, Restored: []string{}, LeftOut: []string{}}
	if err := r.judge(); err != nil {
		return api.Restored{}, err
	}
	if err := (drafts{b.Appliance}).Restore(ctx, by, r.config); err != nil {
		return api.Restored{}, err
	}
	word := "the configuration is pending"
	if len(b.draft.State().Changes) == 0 {
		word = "the configuration is what is in force already"
	}
	r.out.Restored = append(r.out.Restored, word)
	if r.foreign {
		r.out.LeftOut = append(r.out.LeftOut, fmt.Sprintf("the settings of node %s itself: this is %s", file.Node, own.Node.Name))
	}
	return r.out, r.replace(ctx)
}

// restoring is one restore under way.
type restoring struct {
	*backups

	file       backup.Backup
	foreign    bool
	passphrase string
	config     []byte
	ready      []found // parts to be replaced
	out        api.Restored
}

// found is a part with its text in the backup.
type found struct {
	part
	data []byte
}

// judge opens and checks everything. All that is wrong is told at once.
func (r *restoring) judge() error {
	var errs []error
	text, ok := r.file.Get(configurationFile)
	if r.config = text; !ok {
		errs = append(errs, fmt.Errorf("%s is missing", configurationFile))
	} else if _, err := config.Parse(configurationFile, text); err != nil {
		errs = append(errs, err)
	}
	files := slices.DeleteFunc(slices.Clone(r.file.Files), func(f backup.File) bool { return f.Name == configurationFile || f.Name == sealedFile })
	errs = append(errs, r.sort(files, false))
	if sealed, ok := r.file.Get(sealedFile); ok && r.passphrase == "" {
		r.out.LeftOut = append(r.out.LeftOut, "what is sealed (accounts, certificate): there was no passphrase")
	} else if ok {
		inside, err := backup.Open(sealed, r.passphrase)
		if errors.Is(err, backup.ErrPassphrase) {
			return &mgmt.FieldsError{Fields: map[string]string{"passphrase": "does not open this backup"}}
		}
		errs = append(errs, err, r.sort(inside, true))
	}
	if err := errors.Join(errs...); err != nil {
		return &mgmt.InvalidError{Detail: "the backup is refused: nothing was changed", Errors: strings.Split(err.Error(), "\n")}
	}
	return nil
}

// sort gives each file to its part, which checks it.
func (r *restoring) sort(files []backup.File, sealed bool) error {
	var errs []error
	all := r.parts()
	for _, f := range files {
		i := slices.IndexFunc(all, func(p part) bool { return p.file == f.Name && p.secret == sealed })
		switch {
		case i < 0:
			errs = append(errs, fmt.Errorf("%s: this program does not know what that is", f.Name))
		case r.foreign && all[i].own:
			r.out.LeftOut = append(r.out.LeftOut, fmt.Sprintf("the %s: it belongs to node %s", all[i].what, r.file.Node))
		default:
			errs = append(errs, r.take(all[i], f.Data))
		}
	}
	return errors.Join(errs...)
}

// take checks a part and keeps it ready. A certificate that only time has overtaken keeps
// no old backup from being restored.
func (r *restoring) take(p part, data []byte) error {
	err := p.check(data)
	switch {
	case errors.Is(err, identity.ErrTime):
		r.out.LeftOut = append(r.out.LeftOut, fmt.Sprintf("the %s: %v", p.what, err))
	case err != nil:
		return fmt.Errorf("%s: %w", p.file, err)
	default:
		r.ready = append(r.ready, found{p, data})
	}
	return nil
}

// replace writes the parts; of one that cannot be written the error says what was done
// before it.
func (r *restoring) replace(ctx context.Context) error {
	for _, f := range r.ready {
		if err := f.write(ctx, f.data); err != nil {
			return fmt.Errorf("%s; but the %s could not be replaced: %w", strings.Join(r.out.Restored, ", "), f.what, err)
		}
		r.out.Restored = append(r.out.Restored, "the "+f.what)
	}
	return nil
}
