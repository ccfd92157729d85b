package identity

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// ErrTime means that a certificate is in order and not valid at that time: not yet, or not
// any more.
var ErrTime = errors.New("the certificate is not valid now")

// Export returns key and chain, PEM, nil if none was uploaded: it must be kept as secret
// as the node keeps its own.
func (s *Store) Export() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cert == nil {
		return nil, nil
	}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// CheckExport says what keeps an exported text from being used: a [*MistakesError], or
// [ErrTime] if it is the time alone.
func CheckExport(text []byte, now time.Time) error {
	chain, key := split(text)
	_, err := Check(chain, key, now)
	if err == nil {
		return nil
	}
	if block, _ := pem.Decode(chain); block != nil {
		leaf, unreadable := x509.ParseCertificate(block.Bytes)
		if unreadable != nil {
			return err
		}
		if _, other := Check(chain, key, leaf.NotBefore.Add(time.Second)); other == nil {
			return fmt.Errorf("%w: it is from %s to %s", ErrTime, leaf.NotBefore.UTC().Format(time.DateOnly), leaf.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	return err
}

// Import keeps what was exported, as Set does.
func (s *Store) Import(text []byte, now time.Time) error {
	chain, key := split(text)
	return s.Set(chain, key, now)
}

// split parts the certificates from the rest.
func split(text []byte) (chain, key []byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			chain = append(chain, pem.EncodeToMemory(block)...)
		} else {
			key = append(key, pem.EncodeToMemory(block)...)
		}
	}
	return chain, key
}
