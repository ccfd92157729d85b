package peer

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// errStranger is what a node with another pairing secret, or with the same role, meets.
var errStranger = errors.New("the other end is not this pair's other role: check the pairing secret and the roles")

// identity is a role's TLS material. Go has no TLS-PSK, so the shared secret makes
// both roles' keys, and each end pins the other's.
type identity struct {
	cert tls.Certificate
	peer ed25519.PublicKey
}

func newIdentity(secret []byte, seat lb.Seat) (*identity, error) {
	other := lb.Secondary
	if seat == lb.Secondary {
		other = lb.Primary
	}
	mine, err := roleKey(secret, seat)
	if err != nil {
		return nil, err
	}
	theirs, err := roleKey(secret, other)
	if err != nil {
		return nil, err
	}
	cert, err := selfSigned(mine, seat)
	if err != nil {
		return nil, err
	}
	pub, ok := theirs.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("an Ed25519 key without an Ed25519 public key")
	}
	return &identity{cert, pub}, nil
}

func roleKey(secret []byte, seat lb.Seat) (ed25519.PrivateKey, error) {
	seed, err := derive(secret, "replication "+seat.String())
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// selfSigned wraps the key; its dates and names are never looked at.
func selfSigned(key ed25519.PrivateKey, seat lb.Seat) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "vosbed " + seat.String()},
		NotBefore:    time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the replication certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// config serves both ends.
func (i *identity) config() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{i.cert},
		ClientAuth:   tls.RequireAnyClientCert,
		// Names and dates prove nothing here; VerifyConnection pins the key.
		InsecureSkipVerify:     true,
		SessionTicketsDisabled: true,
		VerifyConnection:       i.verify,
	}
}

func (i *identity) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errStranger
	}
	key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || !key.Equal(i.peer) {
		return errStranger
	}
	return nil
}
