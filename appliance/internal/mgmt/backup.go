package mgmt

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// Backups keep the node elsewhere, and bring it back.
type Backups interface {
	// Backup packs the node; with a passphrase also what is secret. It says what is in it.
	Backup(ctx context.Context, passphrase string) (file []byte, holds []string, err error)
	// Restore judges the whole file first; a file that is refused changes nothing.
	Restore(ctx context.Context, by By, want api.Restore) (api.Restored, error)
}

// keeping is backup and restore (guide 9.3.1: Maintenance).
func (s *Server) keeping() []route {
	return []route{
		{method: http.MethodGet, path: api.PathBackup, handle: s.getBackup, least: accounts.Auditor},
		{method: http.MethodPost, path: api.PathBackup, handle: s.postBackup, least: accounts.Admin, action: "make a backup with secrets", sensitive: true},
		{method: http.MethodPost, path: api.PathRestore, handle: s.postRestore, least: accounts.Admin, action: "restore a backup", sensitive: true},
	}
}

func (s *Server) getBackup(w http.ResponseWriter, r *http.Request) { s.backup(w, r, "") }

func (s *Server) postBackup(w http.ResponseWriter, r *http.Request) {
	var in api.BackupSeal
	err := decode(r, &in)
	if err == nil && in.Passphrase == "" {
		err = &FieldsError{Fields: map[string]string{"passphrase": "is missing: what is secret leaves the node sealed only"}}
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.backup(w, r, in.Passphrase)
}

func (s *Server) backup(w http.ResponseWriter, r *http.Request, passphrase string) {
	file, holds, err := s.opts.Backend.Backups.Backup(r.Context(), passphrase)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	note(r).after = strings.Join(holds, "; ")
	w.Header().Set("Content-Type", "application/gzip")
	_, _ = w.Write(file)
}

func (s *Server) postRestore(w http.ResponseWriter, r *http.Request) {
	var in api.Restore
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	answer(s, w, r, func(ctx context.Context) (api.Restored, error) {
		out, err := s.opts.Backend.Backups.Restore(ctx, byOf(r), in)
		if out.Node != "" {
			note(r).target = fmt.Sprintf("%s, revision %s", out.Node, out.Revision)
		}
		note(r).after = strings.Join(out.Restored, "; ")
		return out, err
	})
}
