package mgmt

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

const (
	tokenBytes = 32
	hashMark   = "sha256:"
	firstMark  = ".first"
)

// tokens keeps the hash of the one valid token. A plain hash is enough: the token
// is 256 random bits, not a password that could be guessed.
type tokens struct {
	path string

	mu   sync.Mutex
	hash [sha256.Size]byte
}

// openTokens reads the hash or makes the first token.
func openTokens(path string) (*tokens, error) {
	t := &tokens{path: path}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, t.first()
	}
	if err != nil {
		return nil, fmt.Errorf("read the token file: %w", err)
	}
	return t, t.parse(string(data))
}

func (t *tokens) parse(text string) error {
	digits, ok := strings.CutPrefix(strings.TrimSpace(text), hashMark)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("the token file %s is damaged: remove it and restart, then run lbctl token", t.path)
	}
	copy(t.hash[:], sum)
	return nil
}

// first makes the token of a new node and leaves its text for the operator.
func (t *tokens) first() error {
	text := newToken()
	if err := atomicfile.Write(t.path+firstMark, []byte(text+"\n"), 0o600); err != nil {
		return err
	}
	return t.keep(text)
}

// replace makes a new token, valid at once; the old one is not any more.
func (t *tokens) replace() (string, error) {
	text := newToken()
	if err := t.keep(text); err != nil {
		return "", err
	}
	if err := os.Remove(t.path + firstMark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("remove the first token: %w", err)
	}
	return text, nil
}

func (t *tokens) keep(text string) error {
	hash := sha256.Sum256([]byte(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := atomicfile.Write(t.path, []byte(hashMark+hex.EncodeToString(hash[:])+"\n"), 0o600); err != nil {
		return err
	}
	t.hash = hash
	return nil
}

// valid compares in constant time.
func (t *tokens) valid(text string) bool {
	hash := sha256.Sum256([]byte(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	return subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1
}

// newToken returns 32 random bytes in base64url, 43 characters.
func newToken() string {
	b := make([]byte, tokenBytes)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}
