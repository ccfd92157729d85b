package api

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Paths of accounts and sessions.
const (
	PathSession  = "/api/v1/session"         // POST Login (no authentication), GET, DELETE
	PathConfirm  = "/api/v1/session/confirm" // POST Reauth
	PathSessions = "/api/v1/sessions"        // GET
	PathRevoke   = "/api/v1/sessions/{id}"   // DELETE
	PathAccounts = "/api/v1/accounts"        // GET
	PathAccount  = "/api/v1/accounts/{name}" // PUT NewAccount, DELETE
	PathPassword = "/api/v1/password"        // PUT NewPassword: the caller's own
	PathAudit    = "/api/v1/audit"           // GET
)

// Headers that only the web process may send, for the person in front of it.
const (
	// HeaderFrom is the address of the person's computer.
	HeaderFrom = "X-Vosbed-From"
	// HeaderAgent is the name of the person's program.
	HeaderAgent = "X-Vosbed-Agent"
	// HeaderBackground marks a call that a page makes by itself: it does not keep an
	// idle session alive.
	HeaderBackground = "X-Vosbed-Background"
)

// Roles of an account, each may do what those before it may.
const (
	RoleAuditor  = "auditor"  // read
	RoleOperator = "operator" // drain, halt, online
	RoleAdmin    = "admin"    // everything
)

// Login asks for a session.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Session is one login of a person.
type Session struct {
	ID      string    `json:"id"` // names it in lists; it is not the token
	User    string    `json:"user"`
	Role    string    `json:"role"`
	Source  string    `json:"source,omitempty"` // who knows the person instead of this node: ldap
	From    string    `json:"from"`
	Agent   string    `json:"agent,omitempty"`
	Started time.Time `json:"started"`
	Used    time.Time `json:"last_used"`
	// Expires is when it ends if nothing is done any more.
	Expires time.Time `json:"expires"`
	// Confirmed is until when sensitive actions are open, after the password was
	// given once more.
	Confirmed *time.Time `json:"confirmed_until,omitempty"`
	Current   bool       `json:"current"` // the caller's own
}

// LoggedIn answers a Login. The token goes into the Authorization header.
type LoggedIn struct {
	Token   string  `json:"token"`
	Session Session `json:"session"`
}

// Reauth gives the password once more, before a sensitive action.
type Reauth struct {
	Password string `json:"password"`
}

// Account is a person who may log in.
type Account struct {
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Changed time.Time `json:"password_changed"`
}

// NewAccount makes an account or changes one. An empty password keeps the old one.
type NewAccount struct {
	Role     string `json:"role"`
	Password string `json:"password,omitempty"`
}

// NewPassword changes the caller's own password.
type NewPassword struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// AuditEntry is one line of the audit trail.
type AuditEntry struct {
	At      time.Time `json:"at"`
	User    string    `json:"user"`
	From    string    `json:"from"`
	Action  string    `json:"action"` // a verb phrase: "drain", "apply configuration"
	Target  string    `json:"target,omitempty"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Outcome string    `json:"outcome"` // "done", or why not
}

// As returns a client that shares this one's connections and calls for the person
// with that session token.
func (c *Client) As(token string, header http.Header) *Client {
	twin := *c
	twin.token, twin.header = token, header
	return &twin
}

// Login opens a session.
func (c *Client) Login(ctx context.Context, user, password string) (LoggedIn, error) {
	var out LoggedIn
	err := c.act(ctx, http.MethodPost, PathSession, Login{user, password}, &out)
	return out, err
}

// Session returns the caller's own session.
func (c *Client) Session(ctx context.Context) (Session, error) {
	var out Session
	err := c.get(ctx, PathSession, &out)
	return out, err
}

// Logout ends the caller's own session.
func (c *Client) Logout(ctx context.Context) error {
	return c.act(ctx, http.MethodDelete, PathSession, nil, nil)
}

// Confirm gives the password once more: sensitive actions are open for a while.
func (c *Client) Confirm(ctx context.Context, password string) error {
	return c.act(ctx, http.MethodPost, PathConfirm, Reauth{password}, nil)
}

// Sessions lists the sessions that the caller may see: an admin all, others their own.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	var out []Session
	err := c.get(ctx, PathSessions, &out)
	return out, err
}

// Revoke ends a session by its ID.
func (c *Client) Revoke(ctx context.Context, id string) error {
	return c.act(ctx, http.MethodDelete, strings.Replace(PathRevoke, "{id}", segment(id), 1), nil, nil)
}

// Accounts lists the accounts.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	var out []Account
	err := c.get(ctx, PathAccounts, &out)
	return out, err
}

// SetAccount makes an account or changes it.
func (c *Client) SetAccount(ctx context.Context, name string, want NewAccount) error {
	return c.act(ctx, http.MethodPut, accountPath(name), want, nil)
}

// RemoveAccount removes an account; its sessions end.
func (c *Client) RemoveAccount(ctx context.Context, name string) error {
	return c.act(ctx, http.MethodDelete, accountPath(name), nil, nil)
}

func accountPath(name string) string {
	return strings.Replace(PathAccount, "{name}", segment(name), 1)
}

// SetPassword changes the caller's own password; the caller's other sessions end.
func (c *Client) SetPassword(ctx context.Context, old, password string) error {
	return c.act(ctx, http.MethodPut, PathPassword, NewPassword{old, password}, nil)
}

// Audit returns the latest entries of the audit trail, newest first.
func (c *Client) Audit(ctx context.Context) ([]AuditEntry, error) {
	var out []AuditEntry
	err := c.get(ctx, PathAudit, &out)
	return out, err
}
