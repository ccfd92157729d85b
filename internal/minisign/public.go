package minisign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// Bounds in bytes, above those of minisign.
const (
	maxKeyFile       = 4 << 10
	maxSignatureFile = 16 << 10
)

// Marks of the algorithms.
const (
	algorithmKey = "Ed"
	algorithm    = "ED" // of a signature over a hash
)

const (
	untrustedPrefix = "untrusted comment: "
	trustedPrefix   = "trusted comment: "
)

const idSize = 8

// keyID tells keys apart. It proves nothing.
type keyID [idSize]byte

// String writes it as minisign does.
func (id keyID) String() string {
	reversed := slices.Clone(id[:])
	slices.Reverse(reversed)
	return strings.ToUpper(hex.EncodeToString(reversed))
}

// PublicKey verifies.
type PublicKey struct {
	id  keyID
	key ed25519.PublicKey
}

// Errors of verifying.
var (
	ErrKey       = errors.New("this is no public key of minisign")
	ErrSignature = errors.New("this is no signature of minisign")
	ErrOtherKey  = errors.New("signed with another key")
	ErrChanged   = errors.New("the signature does not fit: what was signed, or the signature, has been changed")
)

// ParsePublicKey reads a public key: a file of minisign, or the one line in base64.
func ParsePublicKey(text []byte) (PublicKey, error) {
	if len(text) > maxKeyFile {
		return PublicKey{}, ErrKey
	}
	lines := linesOf(text)
	if len(lines) == 2 && strings.HasPrefix(lines[0], untrustedPrefix) {
		lines = lines[1:]
	}
	if len(lines) != 1 {
		return PublicKey{}, ErrKey
	}
	data, err := base64.StdEncoding.Strict().DecodeString(lines[0])
	if err != nil || len(data) != len(algorithmKey)+idSize+ed25519.PublicKeySize || !bytes.HasPrefix(data, []byte(algorithmKey)) {
		return PublicKey{}, ErrKey
	}
	data = data[len(algorithmKey):]
	return PublicKey{keyID(data[:idSize]), data[idSize:]}, nil
}

// ReadPublicKey reads the public key in a file.
func ReadPublicKey(path string) (PublicKey, error) {
	text, err := readBounded(path, maxKeyFile)
	if err != nil {
		return PublicKey{}, fmt.Errorf("read the public key: %w", err)
	}
	k, err := ParsePublicKey(text)
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// String is the key on one line.
func (k PublicKey) String() string {
	return base64.StdEncoding.EncodeToString(slices.Concat([]byte(algorithmKey), k.id[:], k.key))
}

// ID is the name of the key, as minisign writes it.
func (k PublicKey) ID() string { return k.id.String() }

// File is the key as a file of minisign.
func (k PublicKey) File() []byte {
	return fmt.Appendf(nil, "%sminisign public key %s\n%s\n", untrustedPrefix, k.id, k)
}

// Verify verifies a file against its signature and returns the trusted comment.
func (k PublicKey) Verify(file io.Reader, signature []byte) (string, error) {
	s, err := parse(signature)
	if err != nil {
		return "", err
	}
	if len(k.key) != ed25519.PublicKeySize {
		return "", ErrKey
	}
	if s.id != k.id {
		return "", fmt.Errorf("%w: %s instead of %s", ErrOtherKey, s.id, k.id)
	}
	sum, err := hash(file)
	if err != nil {
		return "", err
	}
	if !ed25519.Verify(k.key, sum, s.file[:]) || !ed25519.Verify(k.key, append(s.file[:], s.comment...), s.global[:]) {
		return "", ErrChanged
	}
	return s.comment, nil
}

// signature is what a file of it holds.
type signature struct {
	id           keyID
	file, global [ed25519.SignatureSize]byte // over the file's hash; over that and the comment
	comment      string
}

func parse(text []byte) (signature, error) {
	var s signature
	if len(text) > maxSignatureFile {
		return s, ErrSignature
	}
	lines := linesOf(text)
	if len(lines) != 4 || !strings.HasPrefix(lines[0], untrustedPrefix) {
		return s, ErrSignature
	}
	comment, ok := strings.CutPrefix(lines[2], trustedPrefix)
	data, err := base64.StdEncoding.Strict().DecodeString(lines[1])
	global, globalErr := base64.StdEncoding.Strict().DecodeString(lines[3])
	if !ok || err != nil || globalErr != nil || len(data) != len(algorithm)+idSize+len(s.file) || len(global) != len(s.global) {
		return s, ErrSignature
	}
	if !bytes.HasPrefix(data, []byte(algorithm)) {
		return s, fmt.Errorf("%w over a hash (minisign's legacy form is not taken)", ErrSignature)
	}
	data = data[len(algorithm):]
	s.id, s.comment = keyID(data), comment
	copy(s.file[:], data[idSize:])
	copy(s.global[:], global)
	return s, nil
}

// linesOf are the lines of a text; the last may lack its end.
func linesOf(text []byte) []string {
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
}

func hash(file io.Reader) ([]byte, error) {
	h, err := blake2b.New512(nil)
	if err != nil {
		return nil, fmt.Errorf("hash: %w", err)
	}
	if _, err := io.Copy(h, file); err != nil {
		return nil, fmt.Errorf("read what is signed: %w", err)
	}
	return h.Sum(nil), nil
}

// readBounded reads a small file.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s is too long", path)
	}
	return text, err
}
