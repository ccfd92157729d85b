package appliance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/fallback"
	"github.com/vosbed/vosbed/appliance/internal/identity"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/internal/devtls"
)

// doorkeeper is what the management API may do to how people come to the node.
type doorkeeper struct{ *Appliance }

// Certificate tells of the certificate in use.
func (d doorkeeper) Certificate(context.Context) (api.Certificate, error) {
	cfg, _ := d.facts.current()
	cert, own := d.access.shown()
	leaf := cert.Leaf
	out := api.Certificate{
		Uploaded: own, Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Names: append([]string{}, leaf.DNSNames...),
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(), KeyType: identity.KeyType(leaf),
		Fingerprint: fingerprint(leaf.Raw), Pin: devtls.Pin(leaf), Chain: len(cert.Certificate), Warnings: []string{},
	}
	for _, ip := range leaf.IPAddresses {
		out.Names = append(out.Names, ip.String())
	}
	if own { // the self-made one is as the node made it
		out.Warnings = append(out.Warnings, identity.Warnings(leaf, addresses(cfg.Node), time.Now())...)
	}
	return out, nil
}

// fingerprint is written as browsers and openssl do it.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	text := strings.ToUpper(hex.EncodeToString(sum[:]))
	var parts []string
	for i := 0; i < len(text); i += 2 {
		parts = append(parts, text[i:i+2])
	}
	return strings.Join(parts, ":")
}

// SetCertificate takes another certificate in use.
func (d doorkeeper) SetCertificate(ctx context.Context, in api.NewCertificate) (api.Certificate, error) {
	err := d.access.uploaded.Set([]byte(in.Chain), []byte(in.Key), time.Now())
	if wrong, ok := errors.AsType[*identity.MistakesError](err); ok {
		fields := map[string]string{}
		if wrong.Chain != "" {
			fields["chain"] = wrong.Chain
		}
		if wrong.Key != "" {
			fields["key"] = wrong.Key
		}
		return api.Certificate{}, &mgmt.FieldsError{Fields: fields}
	}
	return d.shownAgain(ctx, err)
}

// ResetCertificate goes back to the self-made one.
func (d doorkeeper) ResetCertificate(ctx context.Context) (api.Certificate, error) {
	if _, own := d.access.shown(); !own {
		return d.Certificate(ctx)
	}
	return d.shownAgain(ctx, d.access.uploaded.Reset())
}

// shownAgain shows what has changed, unless the change failed.
func (d doorkeeper) shownAgain(ctx context.Context, failed error) (api.Certificate, error) {
	if failed != nil {
		return api.Certificate{}, failed
	}
	cfg, _ := d.facts.current()
	if err := d.access.show(cfg.Node); err != nil {
		return api.Certificate{}, err
	}
	d.publish()
	d.log.InfoContext(ctx, "the certificate of the WebUI was changed", "pin", d.access.pin())
	return d.Certificate(ctx)
}

// Page returns the fallback page.
func (d doorkeeper) Page(context.Context) (api.FallbackPage, error) {
	page, own := d.access.page.Page()
	return api.FallbackPage{HTML: string(page), Own: own}, nil
}

// SetPage takes another fallback page, "" the built-in one.
func (d doorkeeper) SetPage(ctx context.Context, html string) error {
	set := func() error { return d.access.page.Set([]byte(html)) }
	if html == "" {
		set = d.access.page.Reset
	}
	err := set()
	if wrong, ok := errors.AsType[*fallback.PageError](err); ok {
		return &mgmt.FieldsError{Fields: map[string]string{"html": wrong.Text}}
	}
	if err != nil {
		return err
	}
	cfg, _ := d.facts.current()
	d.log.InfoContext(ctx, "the fallback page was changed")
	return d.access.show(cfg.Node)
}
