package api

import (
	"context"
	"net/http"
)

// Paths of backups.
const (
	PathBackup  = "/api/v1/backup"  // GET: a .tar.gz; POST BackupSeal: one with what is secret, sealed
	PathRestore = "/api/v1/restore" // POST Restore
)

// BackupSeal asks for a backup that also holds the accounts and the uploaded certificate
// with its key, sealed with a passphrase (age-encryption.org/v1, scrypt).
type BackupSeal struct {
	Passphrase string `json:"passphrase"`
}

// Restore brings back a backup. Its configuration becomes the pending changes. What is
// sealed is replaced at once if there is a passphrase, and left alone without one.
type Restore struct {
	File       []byte `json:"file"`
	Passphrase string `json:"passphrase,omitempty"`
}

// Restored tells what came of a backup, each in words.
type Restored struct {
	Node     string   `json:"node"`     // whose it is
	Version  string   `json:"version"`  // of the program that made it
	Revision string   `json:"revision"` // of its configuration
	Restored []string `json:"restored"`
	LeftOut  []string `json:"left_out"`
}

// Backup returns a backup without what is secret.
func (c *Client) Backup(ctx context.Context) ([]byte, error) {
	var out raw
	err := c.act(ctx, http.MethodGet, PathBackup, nil, &out)
	return out.body, err
}

// SealedBackup returns a backup that also holds what is secret, sealed.
func (c *Client) SealedBackup(ctx context.Context, passphrase string) ([]byte, error) {
	var out raw
	err := c.act(ctx, http.MethodPost, PathBackup, BackupSeal{passphrase}, &out)
	return out.body, err
}

// RestoreBackup brings back a backup. It is refused if the pending changes are not those
// of the tag any more ("" = whatever they are).
func (c *Client) RestoreBackup(ctx context.Context, tag string, want Restore) (Restored, error) {
	var out Restored
	err := c.editing(tag).act(ctx, http.MethodPost, PathRestore, want, &out)
	return out, err
}
