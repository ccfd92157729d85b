package appliance

import (
	"path/filepath"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
)

// openPeople opens who may log in, and the trail of what they did.
func openPeople(stateDir string) (mgmt.People, error) {
	store, err := accounts.Open(filepath.Join(stateDir, "accounts.json"))
	if err != nil {
		return mgmt.People{}, err
	}
	trail, err := accounts.OpenTrail(filepath.Join(stateDir, "audit"))
	if err != nil {
		return mgmt.People{}, err
	}
	return mgmt.People{
		Accounts: store, Trail: trail,
		Sessions: accounts.NewSessions(accounts.SessionOptions{}),
		Gate:     accounts.NewGate(time.Now),
	}, nil
}
