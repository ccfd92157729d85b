package api

import (
	"context"
	"net/http"
)

// Paths of the pair as a whole (guide 14.1.2).
const (
	PathPairPeer   = "/api/v1/pair/peer"   // POST PeerQuestion: look at a future peer
	PathPairCreate = "/api/v1/pair/create" // POST PairCreate
	PathPairJoin   = "/api/v1/pair/join"   // POST PairJoin: what the primary sends to its secondary
	PathPairBreak  = "/api/v1/pair/break"  // POST
)

// PeerQuestion names a node to look at. Its password is not needed for that.
type PeerQuestion struct {
	Address string `json:"address"` // IP, or IP:port; port 9443 otherwise
}

// PeerReport is what can be known of a future peer before a password leaves this node.
type PeerReport struct {
	Address     string   `json:"address"` // with its port
	Fingerprint string   `json:"fingerprint"`
	Locals      []string `json:"local_addresses"` // of this node, towards it
	// Blocks is what keeps the two from becoming a pair, in words.
	Blocks []string `json:"blocks"`
}

// PairCreate makes this node the primary and the other its secondary.
type PairCreate struct {
	Local       string `json:"local"`
	Address     string `json:"address"`
	Fingerprint string `json:"fingerprint"` // as it was shown
	Password    string `json:"password"`    // of the user loadbalancer there
}

// PairJoin makes the node that gets it the secondary of the one that sends it. Nothing
// takes effect before the two have heard of each other by the heartbeat.
type PairJoin struct {
	Primary string `json:"primary"` // its node.name
	Local   string `json:"local"`   // address of the node that gets this
	Peer    string `json:"peer"`    // address of the primary
	Secret  []byte `json:"secret"`  // of the pair
	Config  string `json:"config"`  // the primary's, as YAML: its cluster part is taken
}

// PairJoined answers a PairJoin.
type PairJoined struct {
	Secondary string `json:"secondary"` // its node.name
}

// JoinPair sends what the peer must know.
func (c *Client) JoinPair(ctx context.Context, want PairJoin) (PairJoined, error) {
	var out PairJoined
	err := c.act(ctx, http.MethodPost, PathPairJoin, want, &out)
	return out, err
}

// LookAtPeer looks at a future peer.
func (c *Client) LookAtPeer(ctx context.Context, address string) (PeerReport, error) {
	var out PeerReport
	err := c.act(ctx, http.MethodPost, PathPairPeer, PeerQuestion{address}, &out)
	return out, err
}

// CreatePair makes the pair.
func (c *Client) CreatePair(ctx context.Context, want PairCreate) error {
	return c.act(ctx, http.MethodPost, PathPairCreate, want, nil)
}

// BreakPair makes two single nodes of a pair; this one keeps the VIPs.
func (c *Client) BreakPair(ctx context.Context) error {
	return c.act(ctx, http.MethodPost, PathPairBreak, nil, nil)
}
