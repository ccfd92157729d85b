package mgmt

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// online remembers what the update server was asked for.
type online struct{ *fake }

func (o online) Known(context.Context) (api.OnlineUpdate, error) {
	return api.OnlineUpdate{Server: "https://updates.example.org/"}, o.note("known")
}

func (o online) Check(context.Context) (api.OnlineUpdate, error) {
	return api.OnlineUpdate{Latest: "1.1.0", Available: &api.AvailableUpdate{Version: "1.1.0", Notes: "Faster."}}, o.note("check")
}

func (o online) Fetch(_ context.Context, version string) (api.Update, error) {
	return api.Update{Version: "1.0.0", Restart: version}, o.note("fetch %s", version)
}

func TestOnlineUpdate(t *testing.T) {
	f := &fake{status: sample()}
	c := startUnix(t, newServer(t, f))
	if got, err := c.OnlineUpdate(t.Context()); err != nil || got.Server == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.CheckForUpdate(t.Context()); err != nil || got.Available == nil || got.Available.Notes != "Faster." {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.InstallOnline(t.Context(), "1.1.0"); err != nil || got.Restart != "1.1.0" {
		t.Errorf("%+v, %v", got, err)
	}
	if got := f.asked(); !slices.Equal(got, []string{"known", "check", "fetch 1.1.0"}) {
		t.Errorf("asked: %q", got)
	}
	f.err = errors.Join(ErrRefused, errors.New("the update server hangs"))
	_, err := c.CheckForUpdate(t.Context())
	if p, ok := errors.AsType[*api.ProblemError](err); !ok || p.Problem.Status != http.StatusConflict {
		t.Errorf("%v", err)
	}
}
