package sentinel

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Config is all that the sentinel needs to know; each one replaces the last.
type Config struct {
	Node    lb.Node
	Cluster lb.Cluster
	// Secret is the content of Cluster.SecretFile; it travels over the socket only.
	Secret []byte
	// Former is the secret before, for a sentinel that starts while the peer may not have
	// the new one; nil = none. Generation numbers the secrets of the main daemon's life.
	Former     []byte
	Generation uint64
	VIPs       []plan.VIP
	// LeaseDir is where the data plane has pinned its lease; empty = no lease.
	LeaseDir string
	// StallTimeout: the main daemon's longest pause; 0 = max(2 s, 5 Dead).
	StallTimeout time.Duration
}

func (c *Config) stallTimeout() time.Duration {
	if c.StallTimeout > 0 {
		return c.StallTimeout
	}
	return max(2*time.Second, 5*c.Cluster.Timers.Dead)
}

// Command is an operator's command.
type Command string

// Commands. TakeOver gets the addresses from the peer, Release hands them to it;
// Announce tells the segment again where they are.
const (
	TakeOver Command = "takeover"
	Release  Command = "release"
	Announce Command = "announce"
)

// maxMessage bounds one message in bytes.
const maxMessage = 128 << 10

// message is one datagram on the socket; exactly one field is set.
type message struct {
	Configure *Config        `json:"configure,omitempty"`
	Progress  uint64         `json:"progress,omitempty"`
	Synced    *bool          `json:"synced,omitempty"`
	Command   *order         `json:"command,omitempty"`
	State     *lb.PairStatus `json:"state,omitempty"`
	Reply     *reply         `json:"reply,omitempty"`
	Flush     *flush         `json:"flush,omitempty"`
	Flushed   *flushed       `json:"flushed,omitempty"`
	Note      *note          `json:"note,omitempty"`
	// Agreed is the generation of the secret by which the peer has been heard.
	Agreed uint64 `json:"agreed,omitempty"`
}

type order struct {
	ID   uint64
	Verb Command
}

// reply answers an order; Refused is empty when it was accepted.
type reply struct {
	ID      uint64
	Refused string
}

// flush is a request to bring the peer up to date before a planned switchover, which is
// given up if there is no answer Within that time.
type flush struct {
	ID     uint64
	Within time.Duration
}

// flushed answers the flush of this number.
type flushed struct {
	ID uint64
	OK bool
}

// note is a decision, something wrong with the pair (Warn), or a failure of the
// sentinel (Err), for the main daemon's log.
type note struct {
	Text string
	Warn bool
	Err  string
}

func encode(m message) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode a sentinel message: %w", err)
	}
	if len(b) > maxMessage {
		return nil, fmt.Errorf("sentinel message of %d bytes is longer than %d: configure fewer addresses", len(b), maxMessage)
	}
	return b, nil
}

func decode(b []byte) (message, error) {
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode a sentinel message: %w", err)
	}
	return m, nil
}
