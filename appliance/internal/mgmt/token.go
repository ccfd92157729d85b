package mgmt

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/tokens"
)

// tokening is by what programs call.
func (s *Server) tokening() []route {
	const all = accounts.Admin
	return []route{
		{method: http.MethodPost, path: api.PathToken, handle: s.postToken, least: all, action: "make a new API token"},
		{method: http.MethodGet, path: api.PathTokens, handle: s.getTokens, least: all},
		{method: http.MethodPost, path: api.PathTokens, handle: s.postTokens, least: all, action: "create an API token", sensitive: true},
		{method: http.MethodDelete, path: api.PathTokenOf, handle: s.deleteToken, least: all, action: "revoke an API token", sensitive: true},
	}
}

// apiToken recognises the token that a program has.
func (s *Server) apiToken(c *caller, text string) bool {
	t, ok := s.tokens.Find(text)
	if !ok {
		return false
	}
	c.user, c.role, c.known, c.confirmed, c.program = "token "+t.Name, t.Role, true, true, text
	return true
}

// postToken is for the unix socket: a stolen token must not be able to lock the
// operator out.
func (s *Server) postToken(w http.ResponseWriter, r *http.Request) {
	if !callerOf(r).console {
		fail(w, http.StatusForbidden, "a new token is made on the node itself only: run lbctl token there")
		return
	}
	text, err := s.tokens.ReplaceFirst()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "operator made a new token")
	reply(w, api.Token{Token: text, Pin: s.opts.Pin()})
}

// notByToken refuses programs: a stolen token must not live on in another one.
func notByToken(w http.ResponseWriter, r *http.Request) bool {
	if callerOf(r).program == "" {
		return false
	}
	fail(w, http.StatusForbidden, "a token can neither make tokens nor revoke them: log in, or run lbctl on the node itself")
	return true
}

func (s *Server) getTokens(w http.ResponseWriter, _ *http.Request) {
	now := s.opts.Now()
	reply(w, each(s.tokens.List(), func(t tokens.Token) api.TokenInfo {
		out := api.TokenInfo{Name: t.Name, Role: t.Role.String(), Created: t.Created}
		if !t.Expires.IsZero() {
			out.Expires, out.Expired = &t.Expires, !now.Before(t.Expires)
		}
		if !t.Used.IsZero() {
			out.Used = &t.Used
		}
		return out
	}))
}

func (s *Server) postTokens(w http.ResponseWriter, r *http.Request) {
	var in api.NewTokenOf
	if notByToken(w, r) {
		return
	}
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	note(r).target = in.Name
	role, life, wrong := tokenWishes(in)
	if len(wrong) > 0 {
		s.refuse(w, r, &FieldsError{Fields: wrong})
		return
	}
	text, made, err := s.tokens.Create(in.Name, role, life)
	if err != nil {
		s.refuse(w, r, tokenError(err))
		return
	}
	note(r).after = made.Role.String()
	if !made.Expires.IsZero() {
		note(r).after += " until " + made.Expires.Format(time.RFC3339)
	}
	reply(w, api.Token{Token: text, Pin: s.opts.Pin()})
}

// tokenWishes reads what is asked for; what is wrong comes by its key.
func tokenWishes(in api.NewTokenOf) (role accounts.Role, life time.Duration, wrong map[string]string) {
	wrong = map[string]string{}
	role, err := accounts.ParseRole(in.Role)
	if err != nil {
		wrong["role"] = err.Error()
	}
	if text := strings.TrimSpace(in.ExpiresIn); text != "" {
		if life, err = time.ParseDuration(text); err != nil || life <= 0 {
			wrong["expires_in"] = fmt.Sprintf("%q is no time: write hours such as 720h, or nothing for no end", text)
		}
	}
	return role, life, wrong
}

// tokenError tells whose fault an error is.
func tokenError(err error) error {
	field, wrong := errors.AsType[*tokens.FieldError](err)
	switch {
	case wrong:
		return &FieldsError{Fields: map[string]string{field.Field: field.Reason}}
	case errors.Is(err, tokens.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, tokens.ErrFull):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

func (s *Server) deleteToken(w http.ResponseWriter, r *http.Request) {
	if notByToken(w, r) {
		return
	}
	if err := s.tokens.Revoke(r.PathValue("name")); err != nil {
		s.refuse(w, r, tokenError(err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
