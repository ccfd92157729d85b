package appliance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// Bounds of the secret of a source, in bytes. RFC 2865 section 3 wants 16 at least of a
// RADIUS server's.
const (
	mostAuthSecret     = 1024
	leastRADIUSSecret  = 16
	mostAuthSecretFile = 16 << 10
)

// authSecret is what the node shows to the servers of a source. It is kept with the
// servers for which it was given, so that nobody who may change settings can have it sent
// to a server of their own.
type authSecret struct {
	secret  string
	servers []string // digests of what routeTo tells
}

// externalSources are those that need a secret.
func externalSources() []string {
	return []string{lb.AuthLDAP.String(), lb.AuthActiveDirectory.String(), lb.AuthRADIUS.String()}
}

// routeTo is the digest of a server and of what proves that it is the one.
func routeTo(server string, settings lb.Authentication) string {
	text := server
	if settings.Source.Directory() {
		text += "\n" + settings.CAFile
	}
	if strings.HasPrefix(server, "ldap://") {
		text += "\n" + strconv.FormatBool(settings.StartTLS)
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// allow adds the servers of settings.
func (s *authSecret) allow(settings lb.Authentication) {
	for _, server := range settings.Servers {
		if to := routeTo(server, settings); !slices.Contains(s.servers, to) {
			s.servers = append(s.servers, to)
		}
	}
}

// withheld are the servers of settings that would be shown the secret and must not.
func (s *authSecret) withheld(settings lb.Authentication) []string {
	if s.secret == "" || settings.Source.Directory() && settings.BindDN == "" {
		return nil
	}
	var out []string
	for _, server := range settings.Servers {
		if !slices.Contains(s.servers, routeTo(server, settings)) {
			out = append(out, server)
		}
	}
	return out
}

// secretFile is where the daemon keeps the secret of a source: its first line. Those after
// it are the servers.
func (e external) secretFile(source string) string {
	return filepath.Join(e.opts.StateDir, source+".secret")
}

func (e external) writeSecret(source string, s authSecret) error {
	text := strings.Join(append([]string{s.secret}, s.servers...), "\n") + "\n"
	return atomicfile.Write(e.secretFile(source), []byte(text), 0o600)
}

func (e external) forgetSecret(source string) error {
	if err := os.Remove(e.secretFile(source)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the secret: %w", err)
	}
	return nil
}

// secret reads the one of a source, blank = there is none. A file that others can read is
// refused.
func (e external) secret(source string) (authSecret, error) {
	path := e.secretFile(source)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return authSecret{}, nil
	}
	if err != nil {
		return authSecret{}, fmt.Errorf("read the secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return authSecret{}, fmt.Errorf("read the secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return authSecret{}, fmt.Errorf("the secret %s can be read by others (mode %v): set mode 0600, and give another secret", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, mostAuthSecretFile))
	if err != nil {
		return authSecret{}, fmt.Errorf("read the secret: %w", err)
	}
	return parseAuthSecret(text)
}

// parseAuthSecret reads such a file.
func parseAuthSecret(text []byte) (authSecret, error) {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(text) > mostAuthSecretFile || !secretText(lines[0]) {
		return authSecret{}, errors.New("it holds no secret of external authentication")
	}
	for _, line := range lines[1:] {
		if digest, err := hex.DecodeString(line); err != nil || len(digest) != sha256.Size {
			return authSecret{}, errors.New("a line after the secret is no digest of a server")
		}
	}
	return authSecret{lines[0], lines[1:]}, nil
}

// secretText says whether a text may be the secret of a source.
func secretText(s string) bool {
	return len(s) <= mostAuthSecret && !strings.ContainsFunc(s, unicode.IsControl)
}

// secretParts are the secrets in a backup, sealed.
func (e external) secretParts() []part {
	var out []part
	for _, source := range externalSources() {
		path := e.secretFile(source)
		out = append(out, part{
			file: filepath.Base(path), what: "secret of " + source, secret: true, own: true,
			read: func() ([]byte, error) {
				data, err := readBounded(path)
				if errors.Is(err, fs.ErrNotExist) {
					return nil, nil
				}
				return data, err
			},
			check: func(data []byte) error { _, err := parseAuthSecret(data); return err },
			write: func(_ context.Context, data []byte) error { return atomicfile.Write(path, data, 0o600) },
		})
	}
	return out
}
