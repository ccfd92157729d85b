package api

import (
	"context"
	"net/http"
	"time"
)

// Paths of the update server (guide 9.4.1). It is called by a POST only.
const (
	PathUpdateOnline        = "/api/v1/update/online"         // GET OnlineUpdate: what is known; POST OnlineUpdate: ask now
	PathUpdateOnlineInstall = "/api/v1/update/online/install" // POST OnlineInstall: fetch and install; Update
)

// OnlineUpdate is what is known of the update server.
type OnlineUpdate struct {
	Server  string     `json:"server"`            // "" = none is configured
	Manual  bool       `json:"manual"`            // it is not asked once a day
	Checked *time.Time `json:"checked,omitempty"` // it was asked, since the daemon started
	Latest  string     `json:"latest,omitempty"`  // version that it has
	// Available is that version, if it is newer than the running one.
	Available *AvailableUpdate `json:"available,omitempty"`
}

// AvailableUpdate is a version that can be installed, as its signed index has it.
type AvailableUpdate struct {
	Version string `json:"version"`
	Size    int64  `json:"size"`   // of the archive in bytes
	SHA256  string `json:"sha256"` // of the archive
	Notes   string `json:"notes"`  // what is new
}

// OnlineInstall names the version that is meant.
type OnlineInstall struct {
	Version string `json:"version"`
}

// OnlineUpdate tells what is known of the update server; nobody is asked.
func (c *Client) OnlineUpdate(ctx context.Context) (OnlineUpdate, error) {
	var out OnlineUpdate
	err := c.get(ctx, PathUpdateOnline, &out)
	return out, err
}

// CheckForUpdate asks the update server.
func (c *Client) CheckForUpdate(ctx context.Context) (OnlineUpdate, error) {
	var out OnlineUpdate
	err := c.act(ctx, http.MethodPost, PathUpdateOnline, nil, &out)
	return out, err
}

// InstallOnline fetches a version from the update server and installs it.
func (c *Client) InstallOnline(ctx context.Context, version string) (Update, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	var out Update
	err := c.do(ctx, http.MethodPost, PathUpdateOnlineInstall, OnlineInstall{version}, &out)
	return out, err
}
