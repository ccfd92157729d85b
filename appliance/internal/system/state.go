package system

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

// state is what was there before the appliance changed it, so that it can be put back.
type state struct {
	path string
	kept stateFile
}

// stateFile is the file. Boot is of which run of the kernel Links speak: another one has
// begun with the machine's own.
type stateFile struct {
	Boot     string            `json:"boot"`
	Hostname *value            `json:"hostname,omitempty"`
	Files    map[string]change `json:"files,omitempty"` // by path
	Links    map[string]link   `json:"links,omitempty"` // by name
}

// value is one that was there, and ours in its place.
type value struct {
	Before string `json:"before"`
	Ours   string `json:"ours"`
}

// change is a file that was there, and ours in its place.
type change struct {
	Before content `json:"before"`
	Ours   content `json:"ours"`
}

// link is an interface as it was. Ours are what it was set to, nil = it was not.
type link struct {
	MTU     int   `json:"mtu,omitempty"`
	OursMTU int   `json:"ours_mtu,omitempty"`
	Up      bool  `json:"up"`
	OursUp  *bool `json:"ours_up,omitempty"`
}

// Kinds of a content.
const (
	absent  = "absent"
	isFile  = "file"
	isLink  = "link"
	maxFile = 64 << 10 // bytes
	maxJSON = 4 << 20
)

// content is what is at a path.
type content struct {
	Kind string      `json:"kind"`
	Data []byte      `json:"data,omitempty"` // of a file, or where a link leads
	Mode fs.FileMode `json:"mode,omitempty"`
}

func (c content) equal(o content) bool { return c.Kind == o.Kind && string(c.Data) == string(o.Data) }

func openState(path string) (*state, error) {
	s := &state{path: path}
	data, err := readBounded(path, maxJSON)
	if err == nil {
		err = json.Unmarshal(data, &s.kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("what was there before cannot be read: %w: remove %s if it is damaged; the present settings then count as the machine's own", err, path)
	}
	if boot := bootID(); s.kept.Boot != boot {
		s.kept.Boot, s.kept.Links = boot, nil
	}
	if s.kept.Files == nil {
		s.kept.Files = map[string]change{}
	}
	if s.kept.Links == nil {
		s.kept.Links = map[string]link{}
	}
	return s, nil
}

func bootID() string {
	id, err := readBounded("/proc/sys/kernel/random/boot_id", maxFile)
	if err != nil {
		return "" // every run is taken for the same one
	}
	return strings.TrimSpace(string(id))
}

// empty says that there is nothing to put back.
func (s *state) empty() bool {
	return s != nil && s.kept.Hostname == nil && len(s.kept.Files) == 0 && len(s.kept.Links) == 0
}

func (s *state) save() error {
	data, err := json.Marshal(s.kept)
	if err != nil {
		return fmt.Errorf("remember what was there before: %w", err)
	}
	return atomicfile.Write(s.path, data, 0o600)
}
