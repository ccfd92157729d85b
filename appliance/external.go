package appliance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/directory"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
)

// external is external authentication by the settings in force (guide 9.3).
type external struct {
	*Appliance
	// asking holds a place for each login that waits for a directory.
	asking chan struct{}
}

// mostAsking bounds the logins that ask at the same time.
const mostAsking = 8

func newExternal(a *Appliance) external { return external{a, make(chan struct{}, mostAsking)} }

func (e external) settings() lb.Authentication {
	cfg, _ := e.facts.current()
	return cfg.Node.Authentication
}

func (e external) pending() lb.Authentication { return e.draft.State().Config.Node.Authentication }

// Source is who is asked.
func (e external) Source() string {
	if s := e.settings().Source; s != lb.AuthLocal {
		return s.String()
	}
	return ""
}

// Mark is another one as soon as somebody else may be let in.
func (e external) Mark() string {
	settings := e.settings()
	settings.Timeout = 0
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", settings))
	return hex.EncodeToString(sum[:])
}

// Check asks about a person.
func (e external) Check(ctx context.Context, user, password string) (accounts.Role, error) {
	return e.ask(ctx, e.settings(), user, password)
}

// Try asks as the pending settings would.
func (e external) Try(ctx context.Context, user, password string) (string, accounts.Role, error) {
	settings := e.pending()
	if settings.Source == lb.AuthLocal {
		return "", 0, fmt.Errorf("%w: nobody else is asked: choose a source first", mgmt.ErrRefused)
	}
	role, err := e.ask(ctx, settings, user, password)
	return settings.Source.String(), role, err
}

func (e external) ask(ctx context.Context, settings lb.Authentication, user, password string) (accounts.Role, error) {
	select {
	case e.asking <- struct{}{}:
		defer func() { <-e.asking }()
	default:
		return 0, accounts.ErrBusy
	}
	if settings.Source == lb.AuthLocal { // since a moment ago
		return 0, directory.ErrWrong
	}
	kept, err := e.secret(settings.Source.String())
	if err != nil {
		return 0, &directory.UnavailableError{Err: err}
	}
	return directory.New(directory.Options{
		Settings: settings, Secret: kept.secret, Withheld: kept.withheld(settings), Node: e.nodeName(),
	}).Check(ctx, user, password)
}

func (e external) nodeName() string {
	cfg, _ := e.facts.current()
	return cfg.Node.Name
}

// KeepSecret keeps the secret of a source for the servers that are set, pending or in
// force, and for no others; or it forgets it.
func (e external) KeepSecret(source, secret string) error {
	kept := authSecret{secret: secret}
	for _, settings := range []lb.Authentication{e.settings(), e.pending()} {
		if settings.Source.String() == source {
			kept.allow(settings)
		}
	}
	wrong := map[string]string{}
	switch {
	case !slices.Contains(externalSources(), source):
		wrong["source"] = fmt.Sprintf("%q has no secret: use one of %s", source, strings.Join(externalSources(), ", "))
	case secret != "" && len(kept.servers) == 0:
		wrong["source"] = "there is no server to show it to: choose this source and its servers first, pending changes are enough"
	}
	if !secretText(secret) {
		wrong["secret"] = fmt.Sprintf("a secret has at most %d bytes, and no line ends or other controls", mostAuthSecret)
	}
	if len(wrong) > 0 {
		return &mgmt.FieldsError{Fields: wrong}
	}
	if secret == "" {
		return e.forgetSecret(source)
	}
	return e.writeSecret(source, kept)
}

// State tells who is asked, and whether passwords are safe on the way.
func (e external) State() api.AuthState {
	settings := e.settings()
	out := api.AuthState{Source: settings.Source.String(), Secrets: []string{}, Warnings: []string{}}
	for _, source := range externalSources() {
		if kept, err := e.secret(source); err != nil || kept.secret != "" {
			out.Secrets = append(out.Secrets, source)
		}
	}
	if settings.Source == lb.AuthLocal {
		return out
	}
	kept, err := e.secret(settings.Source.String())
	if err != nil {
		out.Warnings = append(out.Warnings, err.Error())
	}
	if withheld := kept.withheld(settings); len(withheld) > 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("the secret was not given for %s: give it once more", strings.Join(withheld, ", ")))
	}
	plain := slices.ContainsFunc(settings.Servers, func(s string) bool { return strings.HasPrefix(s, "ldap://") })
	if settings.Source.Directory() && plain && !settings.StartTLS {
		out.Warnings = append(out.Warnings, "passwords cross the network as plain text (insecure: true): use ldaps:// or StartTLS")
	}
	if settings.Source == lb.AuthRADIUS && kept.secret != "" && len(kept.secret) < leastRADIUSSecret {
		out.Warnings = append(out.Warnings, fmt.Sprintf(
			"the RADIUS secret is short: who records the traffic can guess it, and read passwords with it: use %d random characters or more", leastRADIUSSecret))
	}
	return out
}
