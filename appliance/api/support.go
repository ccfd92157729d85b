package api

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Paths of the support.
const (
	PathSupportChecks  = "/api/v1/support/checks"  // GET SupportChecks
	PathSupportArchive = "/api/v1/support/archive" // GET: a .tar.gz, secrets removed
)

// Verdicts of a diagnostic check.
const (
	CheckOK            = "ok"
	CheckWarning       = "warning"
	CheckFailed        = "failed"
	CheckNotApplicable = "not applicable"
)

// SupportChecks are the diagnostic checks as a tree. The verdict of a branch is the worst
// one below it.
type SupportChecks struct {
	At      time.Time      `json:"at"`
	Verdict string         `json:"verdict"`
	Groups  []SupportGroup `json:"groups"`
}

// SupportGroup is one branch: node, network, services, pair or storage.
type SupportGroup struct {
	Name    string         `json:"name"`
	Verdict string         `json:"verdict"`
	Checks  []SupportCheck `json:"checks"`
}

// SupportCheck is one diagnostic check.
type SupportCheck struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Seen    string `json:"seen"`          // what was looked at, and found
	Fix     string `json:"fix,omitempty"` // what to do
}

// SupportChecks makes the diagnostic checks.
func (c *Client) SupportChecks(ctx context.Context) (SupportChecks, error) {
	var out SupportChecks
	err := c.act(ctx, http.MethodGet, PathSupportChecks, nil, &out)
	return out, err
}

// SupportArchive writes a support download to w while it is made.
func (c *Client) SupportArchive(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, archiveTimeout)
	defer cancel()
	return c.do(ctx, http.MethodGet, PathSupportArchive, nil, &stream{to: w})
}

// archiveTimeout bounds the making of an archive.
const archiveTimeout = time.Minute
