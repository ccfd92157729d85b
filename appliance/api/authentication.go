package api

import (
	"context"
	"net/http"
)

// Paths of external authentication (guide 9.3).
const (
	PathAuth       = "/api/v1/authentication"        // GET AuthState
	PathAuthSecret = "/api/v1/authentication/secret" // PUT AuthSecret
	PathAuthTest   = "/api/v1/authentication/test"   // POST Login, answers AuthTested
)

// AuthState is who is asked about people that have no account on the node.
type AuthState struct {
	Source string `json:"source"` // in force: local, ldap, active-directory, radius
	// Secrets lists the sources whose secret the daemon keeps.
	Secrets  []string `json:"secrets"`
	Warnings []string `json:"warnings"` // of the settings in force
}

// AuthSecret is what the daemon shows to a source: the password of bind_dn, or the secret
// shared with a RADIUS server. It is kept by the daemon and never told again; "" forgets it.
type AuthSecret struct {
	Source string `json:"source"` // ldap, active-directory or radius
	Secret string `json:"secret"`
}

// AuthTested is how a login would end with the pending settings.
type AuthTested struct {
	Source string `json:"source"`
	OK     bool   `json:"ok"`
	Role   string `json:"role,omitempty"`
	Text   string `json:"text"` // in words
}

// Authentication returns who is asked.
func (c *Client) Authentication(ctx context.Context) (AuthState, error) {
	var out AuthState
	err := c.get(ctx, PathAuth, &out)
	return out, err
}

// SetAuthSecret keeps the secret of a source.
func (c *Client) SetAuthSecret(ctx context.Context, source, secret string) error {
	return c.act(ctx, http.MethodPut, PathAuthSecret, AuthSecret{source, secret}, nil)
}

// TestAuthentication asks about a person as a login would, with the pending settings. Its
// answer is no session.
func (c *Client) TestAuthentication(ctx context.Context, user, password string) (AuthTested, error) {
	var out AuthTested
	err := c.act(ctx, http.MethodPost, PathAuthTest, Login{user, password}, &out)
	return out, err
}
