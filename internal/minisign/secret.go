package minisign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// SecretKey signs.
type SecretKey struct {
	id  keyID
	key ed25519.PrivateKey
}

// Parts of the file of a secret key (minisign.h): algorithms of key, derivation and
// checksum; salt and limits of the derivation, which an unencrypted key has none of.
const (
	derivationNone = "\x00\x00"
	checksumBLAKE2 = "B2"
	derivationSize = 32 + 8 + 8
)

// Errors of secret keys.
var (
	ErrSecretKey = errors.New("this is no unencrypted secret key of minisign (minisign -C -W takes its password away)")
	ErrComment   = errors.New("a comment is one line of at most 1000 bytes")
)

// maxComment bounds a comment in bytes, as minisign does.
const maxComment = 1000

// Generate makes a key.
func Generate() (SecretKey, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return SecretKey{}, fmt.Errorf("make a key: %w", err)
	}
	k := SecretKey{key: key}
	_, err = rand.Read(k.id[:])
	return k, err
}

// LoadOrCreate reads the secret key in a file, or makes one there if there is none. The
// file is for its owner alone: one that others may read is refused.
func LoadOrCreate(path string) (SecretKey, error) {
	k, err := load(path)
	if !errors.Is(err, os.ErrNotExist) {
		return k, err
	}
	if k, err = Generate(); err != nil {
		return k, err
	}
	if err = os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return SecretKey{}, fmt.Errorf("make a place for the key: %w", err)
	}
	// Whoever else makes a key at this moment is not overwritten.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return SecretKey{}, fmt.Errorf("write the key: %w", err)
	}
	_, err = f.Write(k.file())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return SecretKey{}, fmt.Errorf("write the key: %w", errors.Join(err, os.Remove(path)))
	}
	return k, nil
}

func load(path string) (SecretKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return SecretKey{}, fmt.Errorf("read the key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return SecretKey{}, fmt.Errorf("others may read the key %s: chmod 600 it, or make another if they have", path)
	}
	text, err := readBounded(path, maxKeyFile)
	if err != nil {
		return SecretKey{}, fmt.Errorf("read the key: %w", err)
	}
	k, err := parseSecret(text)
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// file is the key as a file of minisign.
func (k SecretKey) file() []byte {
	data := slices.Concat([]byte(algorithmKey+derivationNone+checksumBLAKE2), make([]byte, derivationSize), k.id[:], k.key, k.checksum())
	return fmt.Appendf(nil, "%sminisign secret key %s, not encrypted\n%s\n", untrustedPrefix, k.id, base64.StdEncoding.EncodeToString(data))
}

func (k SecretKey) checksum() []byte {
	sum := blake2b.Sum256(slices.Concat([]byte(algorithmKey), k.id[:], k.key))
	return sum[:]
}

func parseSecret(text []byte) (SecretKey, error) {
	lines := linesOf(text)
	if len(lines) != 2 || !strings.HasPrefix(lines[0], untrustedPrefix) {
		return SecretKey{}, ErrSecretKey
	}
	data, err := base64.StdEncoding.Strict().DecodeString(lines[1])
	head := []byte(algorithmKey + derivationNone + checksumBLAKE2)
	if err != nil || len(data) != len(head)+derivationSize+idSize+ed25519.PrivateKeySize+blake2b.Size256 || !bytes.HasPrefix(data, head) {
		return SecretKey{}, ErrSecretKey
	}
	data = data[len(head)+derivationSize:]
	k := SecretKey{keyID(data), ed25519.NewKeyFromSeed(data[idSize : idSize+ed25519.SeedSize])}
	whole := bytes.Equal(k.key, data[idSize:idSize+ed25519.PrivateKeySize])
	// minisign 0.11 writes no checksum into a key that it does not encrypt.
	sum := data[idSize+ed25519.PrivateKeySize:]
	if !whole || !bytes.Equal(sum, k.checksum()) && !bytes.Equal(sum, make([]byte, len(sum))) {
		return SecretKey{}, ErrSecretKey
	}
	return k, nil
}

// Public is the key that verifies.
func (k SecretKey) Public() PublicKey {
	return PublicKey{k.id, ed25519.PublicKey(slices.Clone(k.key[ed25519.SeedSize:]))}
}

// Sign returns the signature of a file. The comment is signed with it, and shown to
// whoever verifies.
func (k SecretKey) Sign(file io.Reader, comment string) ([]byte, error) {
	if len(comment) > maxComment || strings.ContainsAny(comment, "\r\n\x00") {
		return nil, ErrComment
	}
	sum, err := hash(file)
	if err != nil {
		return nil, err
	}
	over := ed25519.Sign(k.key, sum)
	global := ed25519.Sign(k.key, append(slices.Clone(over), comment...))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, "%ssignature of key %s\n%s\n%s%s\n%s\n", untrustedPrefix, k.id,
		encode(slices.Concat([]byte(algorithm), k.id[:], over)), trustedPrefix, comment, encode(global)), nil
}
