package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/images/console"
	"github.com/vosbed/vosbed/images/ovfenv"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// factoryName is how an appliance is called until it is set up: two of them side by side
// have two names.
func factoryName() string {
	for _, c := range cards() {
		if digits := strings.ReplaceAll(c.MAC, ":", ""); len(digits) == 12 {
			return "lb-" + digits[6:]
		}
	}
	return "lb"
}

// blank is a configuration that says nothing but a name.
func blank() []byte { return fmt.Appendf(nil, "node:\n  name: %s\n", factoryName()) }

// Files on a disk with a first configuration: one labelled CIDATA, or the disc that a
// hypervisor makes of the properties of an OVA (package ovfenv).
const (
	seedConfig   = "vosbed.yaml"
	seedPassword = "password"
)

// maxSeed bounds such a file in bytes.
const maxSeed = 1 << 20

// first is what a machine begins with.
type first struct {
	config   []byte
	password string
}

// firstConfig sees to it that there is a configuration: the one that is there, else one from
// a seed, else one that says nothing but a name. The password is for the daemon, when it is
// there: it was never set then.
func firstConfig(l *loader, plugged <-chan struct{}) (password string, err error) {
	if exists(configFile) {
		return "", nil
	}
	f, err := seeded(l, plugged)
	if err == nil && f.config == nil { // perhaps on a disk that is not there yet
		<-plugged
		f, err = seeded(l, plugged)
	}
	if err != nil || f.config == nil {
		f.config = blank()
	}
	return f.password, errors.Join(err, atomicfile.Write(configFile, f.config, 0o600))
}

// seeded is what a seed says, nothing if there is none.
func seeded(l *loader, plugged <-chan struct{}) (first, error) {
	done, err := mountSeed(l)
	if err != nil {
		return first{}, err
	}
	defer done()
	if document, problem := readSeed(ovfenv.File); document != nil || problem != nil {
		<-plugged // they are about network cards
		return fromProperties(document, problem)
	}
	text, err := readSeed(seedConfig)
	if text == nil || err != nil {
		return first{}, err
	}
	if _, err = config.ParseDraft(seedConfig, text); err != nil {
		return first{}, fmt.Errorf("the seed disk's configuration has mistakes and is not used: %w", err)
	}
	password, err := readSeed(seedPassword)
	return first{text, strings.TrimRight(string(password), "\r\n")}, err
}

// fromProperties does what the console's wizard does, unattended.
func fromProperties(document []byte, err error) (first, error) {
	if err != nil {
		return first{}, err
	}
	given, err := ovfenv.Parse(document)
	if err != nil || len(given) == 0 {
		return first{}, err
	}
	present, err := config.ParseDraft("configuration", blank())
	if err != nil {
		return first{}, err
	}
	cfg, err := console.Unattended(present, cards(), given)
	if err != nil {
		return first{}, fmt.Errorf("the properties of this machine have mistakes and are not used: %w", err)
	}
	text, err := config.Encode(cfg)
	if err != nil {
		return first{}, fmt.Errorf("the properties of this machine cannot be used: %w", err)
	}
	return first{text, given[ovfenv.Password]}, nil
}

// readSeed reads a file of the mounted seed, nil if it is not there.
func readSeed(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(seedDir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the seed disk: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSeed))
	if err != nil {
		return nil, fmt.Errorf("read the seed disk: %w", err)
	}
	return data, nil
}
