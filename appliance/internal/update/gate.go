package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// pictureFile keeps what served before an update.
const pictureFile = "before.json"

// Picture is what served before an update.
type Picture struct {
	// Version is the one that looked.
	Version string `json:"version"`
	// Healthy are the real servers whose checks were green.
	Healthy []string `json:"healthy"`
	// Peer says that the peer was seen.
	Peer bool `json:"peer"`
}

// PictureOf looks.
func PictureOf(st lb.Status) Picture {
	p := Picture{Peer: st.Pair.PeerAlive, Healthy: []string{}}
	for _, svc := range st.Services {
		for _, r := range svc.Reals {
			if r.Health.Up {
				p.Healthy = append(p.Healthy, svc.Name+"/"+r.Name)
			}
		}
	}
	return p
}

func (p Picture) write(at string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("keep what serves: %w", err)
	}
	if err := atomicfile.Write(at, data, 0o600); err != nil {
		return full(fmt.Errorf("keep what serves: %w", err))
	}
	return nil
}

// readPicture reads what another version saw. One that is damaged is nobody's fault that
// starts: then less is asked of it.
func readPicture(at, running string) (*Picture, error) {
	data, err := os.ReadFile(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what served before the update: %w", err)
	}
	var p Picture
	if damaged := json.Unmarshal(data, &p); damaged == nil && p.Version != running {
		return &p, nil
	}
	return nil, nil
}

// forget ends the comparison with what was before: the running system is proven.
func (m *Manager) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.before != nil {
		m.before = nil
		_ = os.Remove(m.path(pictureFile)) // another version reads it, and knows it for its own
	}
}

// Before is what served before the update, nil once the running system is proven.
func (m *Manager) Before() *Picture {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.before
}

// Now is what the gate looks at.
type Now struct {
	// Programmed says that the first pass was made, Failed names the parts whose latest
	// pass failed.
	Programmed bool
	Failed     []string
	// Paired says that the node is configured to have a peer.
	Paired bool
	Status lb.Status
}

// Waiting says in words what a system still lacks before it counts as healthy: everything
// programmed, every check with a verdict, and as much green, and the peer in sight, as
// before the update. A nil before asks for no more than verdicts.
func Waiting(now Now, before *Picture) []string {
	if !now.Programmed {
		return []string{"the virtual services are not programmed yet"}
	}
	var out []string
	for _, name := range now.Failed {
		out = append(out, "could not be programmed: "+name)
	}
	for _, svc := range now.Status.Services {
		for _, r := range svc.Reals {
			id := svc.Name + "/" + r.Name
			switch {
			case r.Health.Up:
			case before != nil && slices.Contains(before.Healthy, id):
				out = append(out, id+" passed its check before the update and does not yet")
			case r.Health.Last.At.IsZero() && r.Admin != lb.Halt:
				out = append(out, id+" was not checked yet")
			}
		}
	}
	if before != nil && before.Peer && now.Paired && !now.Status.Pair.PeerAlive {
		out = append(out, "the peer was seen before the update and is not yet")
	}
	return out
}
