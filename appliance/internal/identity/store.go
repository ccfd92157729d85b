package identity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

// fileName holds key and chain in one file, so that neither is ever without the other.
const fileName = "uploaded.pem"

// Store keeps the uploaded certificate. Safe for concurrent use.
type Store struct {
	path string

	mu   sync.Mutex
	cert *tls.Certificate // nil = none was uploaded
}

// Open reads what is kept in a folder. A file that cannot be read is an error, and the
// store is as without one: the node has its self-made certificate, and goes on.
func Open(dir string) (*Store, error) {
	s := &Store{path: filepath.Join(dir, fileName)}
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read the uploaded certificate: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 3*MaxPEM))
	if err != nil {
		return s, fmt.Errorf("read the uploaded certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return s, fmt.Errorf("the uploaded certificate %s is damaged, so the self-made one is in use: upload it again: %w", s.path, err)
	}
	s.cert = &cert
	return s, nil
}

// Certificate returns it; ok is false if none was uploaded.
func (s *Store) Certificate() (cert tls.Certificate, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cert == nil {
		return cert, false
	}
	return *s.cert, true
}

// Set checks a certificate and keeps it; the error may be a [*MistakesError].
func (s *Store) Set(chain, key []byte, now time.Time) error {
	cert, err := Check(chain, key, now)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return fmt.Errorf("encode the TLS key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, c := range cert.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := atomicfile.Write(s.path, text, 0o600); err != nil {
		return fmt.Errorf("keep the certificate: %w", err)
	}
	s.cert = &cert
	return nil
}

// Reset forgets it.
func (s *Store) Reset() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the uploaded certificate: %w", err)
	}
	s.cert = nil
	return nil
}
