package override

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Bounds of what a file or the peer can make a store hold.
const (
	// mostRecords is the number of records, tombstones included. Beyond it the oldest
	// tombstones are forgotten.
	mostRecords = 4096
	// mostName is the length of a service, server or node name in bytes.
	mostName = 255
	// mostCounter leaves room to count on, whatever the peer sends.
	mostCounter = 1 << 53
)

var errRecord = errors.New("malformed operator override")

// Record is the latest word about one real server. Online is kept too, as the
// tombstone that removes an older drain or halt of the other node.
type Record struct {
	Service  string    `json:"service"`
	Server   string    `json:"server"`
	State    string    `json:"state"` // as [lb.AdminState] prints it
	Deadline time.Time `json:"deadline,omitzero"`
	// Counter orders the words of both nodes, Node the one that said them at once.
	Counter uint64 `json:"counter"`
	Node    string `json:"node"`
}

func (r Record) id() lb.RealID { return lb.RealID{Service: r.Service, Real: r.Server} }

// override is what the record asks for; the record has been checked.
func (r Record) override() lb.Override {
	state, _ := lb.ParseAdminState(r.State)
	return lb.Override{State: state, Deadline: r.Deadline}
}

// compare is a total order, so that both nodes choose alike whatever they hold:
// content decides where two nodes with one name counted alike.
func (r Record) compare(o Record) int {
	return cmp.Or(
		cmp.Compare(r.Counter, o.Counter), cmp.Compare(r.Node, o.Node),
		cmp.Compare(r.State, o.State), r.Deadline.Compare(o.Deadline),
	)
}

func (r Record) check() error {
	for _, name := range []string{r.Service, r.Server, r.Node} {
		if name == "" || len(name) > mostName {
			return fmt.Errorf("%w: a name of %d bytes", errRecord, len(name))
		}
	}
	if r.Counter == 0 || r.Counter > mostCounter {
		return fmt.Errorf("%w: counter %d", errRecord, r.Counter)
	}
	if _, err := lb.ParseAdminState(r.State); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

// decodeRecords reads a JSON list and takes all of it or nothing.
func decodeRecords(data []byte) ([]Record, error) {
	var list []Record
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if len(list) > mostRecords {
		return nil, fmt.Errorf("%w: %d records", errRecord, len(list))
	}
	for _, r := range list {
		if err := r.check(); err != nil {
			return nil, err
		}
	}
	return list, nil
}
