package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/directory"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// external is external authentication by the settings in force (guide 9.3).
type external struct {
	*Appliance
	// asking holds a place for each login that waits for a directory.
	asking chan struct{}
}

// mostAsking bounds the logins that ask at the same time.
const mostAsking = 8

// mostAuthSecret bounds the secret of a source in bytes.
const mostAuthSecret = 1024

func newExternal(a *Appliance) external { return external{a, make(chan struct{}, mostAsking)} }

func (e external) settings() lb.Authentication {
	cfg, _ := e.facts.current()
	return cfg.Node.Authentication
}

// Source is who is asked.
func (e external) Source() string {
	if s := e.settings().Source; s != lb.AuthLocal {
		return s.String()
	}
	return ""
}

// Check asks about a person.
func (e external) Check(ctx context.Context, user, password string) (accounts.Role, error) {
	return e.ask(ctx, e.settings(), user, password)
}

// Try asks as the pending settings would.
func (e external) Try(ctx context.Context, user, password string) (string, accounts.Role, error) {
	settings := e.draft.State().Config.Node.Authentication
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
	secret, err := e.secret(settings)
	if err != nil {
		return 0, &directory.UnavailableError{Err: err}
	}
	return directory.New(directory.Options{Settings: settings, Secret: secret, Node: e.nodeName()}).Check(ctx, user, password)
}

func (e external) nodeName() string {
	cfg, _ := e.facts.current()
	return cfg.Node.Name
}

// secretFile is where the daemon keeps the secret of a source.
func (e external) secretFile(source string) string {
	return filepath.Join(e.opts.StateDir, source+".secret")
}

// secret reads the one of the settings, "" = there is none. A file that others can read is
// refused, and so is one that is no single line: who may name the file must not be able to
// send another one, such as a private key, to a server of their own.
func (e external) secret(settings lb.Authentication) (string, error) {
	path := settings.SecretFile
	if path == "" {
		path = e.secretFile(settings.Source.String())
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && settings.SecretFile == "" {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the secret (secret_file): %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the secret %s can be read by others (mode %v): set mode 0600", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, mostAuthSecret+2))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if len(secret) > mostAuthSecret || strings.ContainsFunc(secret, unicode.IsControl) {
		return "", fmt.Errorf("%s is no secret: it has one line of %d bytes at most, and nothing else", path, mostAuthSecret)
	}
	return secret, nil
}

// externalSources are those that need a secret.
func externalSources() []string {
	return []string{lb.AuthLDAP.String(), lb.AuthActiveDirectory.String(), lb.AuthRADIUS.String()}
}

// KeepSecret keeps the secret of a source, or forgets it.
func (e external) KeepSecret(source, secret string) error {
	wrong := map[string]string{}
	if !slices.Contains(externalSources(), source) {
		wrong["source"] = fmt.Sprintf("%q has no secret: use one of %s", source, strings.Join(externalSources(), ", "))
	}
	if len(secret) > mostAuthSecret || strings.ContainsFunc(secret, unicode.IsControl) {
		wrong["secret"] = fmt.Sprintf("a secret has at most %d bytes, and no line ends or other controls", mostAuthSecret)
	}
	if len(wrong) > 0 {
		return &mgmt.FieldsError{Fields: wrong}
	}
	if secret != "" {
		return atomicfile.Write(e.secretFile(source), []byte(secret), 0o600)
	}
	if err := os.Remove(e.secretFile(source)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the secret: %w", err)
	}
	return nil
}

// State tells who is asked, and whether passwords are safe on the way.
func (e external) State() api.AuthState {
	settings := e.settings()
	out := api.AuthState{Source: settings.Source.String(), Secrets: []string{}, Warnings: []string{}}
	for _, source := range externalSources() {
		if _, err := os.Stat(e.secretFile(source)); err == nil {
			out.Secrets = append(out.Secrets, source)
		}
	}
	plain := slices.ContainsFunc(settings.Servers, func(s string) bool { return strings.HasPrefix(s, "ldap://") })
	if settings.Source.Directory() && plain && !settings.StartTLS {
		out.Warnings = append(out.Warnings, "passwords cross the network as plain text (insecure: true): use ldaps:// or StartTLS")
	}
	return out
}
