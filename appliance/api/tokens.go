package api

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Paths of the named tokens.
const (
	PathTokens  = "/api/v1/tokens"        // GET, POST NewTokenOf
	PathTokenOf = "/api/v1/tokens/{name}" // DELETE
)

// TokenInfo is what is known of an API token; only a hash of its text is kept. The one
// that a node makes at its first start, and lbctl token makes anew, is called first.
type TokenInfo struct {
	Name    string     `json:"name"`
	Role    string     `json:"role"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"` // nil = never
	Expired bool       `json:"expired,omitempty"`
	Used    *time.Time `json:"last_used,omitempty"` // nil = not yet
}

// NewTokenOf asks for a token: POST to PathTokens answers its text, once. ExpiresIn is a
// Go duration such as 720h, "" = it has no end.
type NewTokenOf struct {
	Name      string `json:"name"`
	Role      string `json:"role"`
	ExpiresIn string `json:"expires_in,omitempty"`
}

// Tokens lists the API tokens.
func (c *Client) Tokens(ctx context.Context) ([]TokenInfo, error) {
	var out []TokenInfo
	err := c.get(ctx, PathTokens, &out)
	return out, err
}

// CreateToken makes an API token. Its text is in the answer and nowhere else. It is for
// people: a token makes none.
func (c *Client) CreateToken(ctx context.Context, want NewTokenOf) (Token, error) {
	var out Token
	err := c.act(ctx, http.MethodPost, PathTokens, want, &out)
	return out, err
}

// RevokeToken makes one worthless at once.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	return c.act(ctx, http.MethodDelete, strings.Replace(PathTokenOf, "{name}", segment(name), 1), nil, nil)
}
