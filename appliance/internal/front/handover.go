package front

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// Descriptors of the process: the pipe of the handover, then the listeners.
const (
	HandoverFd    = 3
	firstListener = 4
)

// maxHandover bounds what is read from the pipe in bytes.
const maxHandover = 1 << 20

// handover is all that the process is told. It travels by a pipe, so that neither the
// key nor anything else need be readable for the process's user. The pipe stays open
// for as long as the main daemon lives.
type handover struct {
	Socket      string `json:"socket"` // of the management API
	Doors       []door `json:"doors"`  // of the listeners, in their order
	Strict      bool   `json:"strict"`
	Page        []byte `json:"page"`        // the fallback page
	Certificate []byte `json:"certificate"` // PEM, the whole chain
	Key         []byte `json:"key"`         // PEM, PKCS #8
}

// pack encodes a certificate with its key.
func (h *handover) pack(cert tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return fmt.Errorf("hand over the TLS key: %w", err)
	}
	h.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	h.Certificate = nil
	for _, der := range cert.Certificate {
		h.Certificate = append(h.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return nil
}

// receive reads the handover, which ends with a newline.
func receive(pipe io.Reader) (handover, error) {
	var h handover
	if err := json.NewDecoder(io.LimitReader(pipe, maxHandover)).Decode(&h); err != nil {
		return h, fmt.Errorf("read what the daemon hands over: %w", err)
	}
	if len(h.Doors) < 1 || h.Socket == "" {
		return h, errors.New("the daemon handed over no listener or no socket: this program is started by lbd run only")
	}
	return h, nil
}
