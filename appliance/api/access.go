package api

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"
)

// Paths of how people come to the node.
const (
	PathCertificate = "/api/v1/certificate" // GET, PUT NewCertificate, DELETE (the self-made one again)
	PathFallback    = "/api/v1/fallback"    // GET, PUT NewFallbackPage, DELETE (the built-in one again)
)

// FallbackPolicy is the content security policy of the fallback page: it may have its own
// styles and pictures, and nothing that runs or comes from elsewhere.
const FallbackPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

// Certificate is the certificate that the node shows over HTTPS.
type Certificate struct {
	Uploaded    bool      `json:"uploaded"` // false: the node made it
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names"` // host names and addresses that it is for
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	KeyType     string    `json:"key_type"`           // "ECDSA, P-256"
	Fingerprint string    `json:"sha256_fingerprint"` // of the certificate, "AB:CD:…"
	Pin         string    `json:"pin"`                // of its public key, in curl's notation
	Chain       int       `json:"chain_length"`       // with those that signed it
	Warnings    []string  `json:"warnings"`
}

// NewCertificate is another one, in PEM: the chain with the node's own certificate first,
// and its private key, which is never shown again.
type NewCertificate struct {
	Chain string `json:"chain"`
	Key   string `json:"key"`
}

// FallbackPage is what clients of a layer-7 virtual service see while none of its real
// servers takes them.
type FallbackPage struct {
	HTML string `json:"html"`
	Own  bool   `json:"own"` // false: the built-in one
}

// NewFallbackPage is another one, 256 KiB at most.
type NewFallbackPage struct {
	HTML string `json:"html"`
}

// Certificate tells of the certificate in use.
func (c *Client) Certificate(ctx context.Context) (Certificate, error) {
	var out Certificate
	err := c.get(ctx, PathCertificate, &out)
	return out, err
}

// SetCertificate takes another one in use.
func (c *Client) SetCertificate(ctx context.Context, want NewCertificate) (Certificate, error) {
	var out Certificate
	err := c.act(ctx, http.MethodPut, PathCertificate, want, &out)
	return out, err
}

// ResetCertificate goes back to the one that the node makes for itself.
func (c *Client) ResetCertificate(ctx context.Context) (Certificate, error) {
	var out Certificate
	err := c.act(ctx, http.MethodDelete, PathCertificate, nil, &out)
	return out, err
}

// FallbackPage returns the fallback page.
func (c *Client) FallbackPage(ctx context.Context) (FallbackPage, error) {
	var out FallbackPage
	err := c.get(ctx, PathFallback, &out)
	return out, err
}

// SetFallbackPage takes another one. JSON holds no other text than UTF-8, and what is none
// would arrive as something else.
func (c *Client) SetFallbackPage(ctx context.Context, html string) error {
	if !utf8.ValidString(html) {
		const text = "the page is not UTF-8 text: save it in that encoding"
		return &ProblemError{Problem{Status: http.StatusUnprocessableEntity, Detail: "nothing was changed", Fields: map[string]string{"html": text}}}
	}
	return c.act(ctx, http.MethodPut, PathFallback, NewFallbackPage{html}, nil)
}

// ResetFallbackPage goes back to the built-in one.
func (c *Client) ResetFallbackPage(ctx context.Context) error {
	return c.act(ctx, http.MethodDelete, PathFallback, nil, nil)
}
