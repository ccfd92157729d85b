package mgmt

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// TestTheTrailOfTheClock tells what it was and is, by whom.
func TestTheTrailOfTheClock(t *testing.T) {
	o := newOffice(t)
	token := o.login("loadbalancer")
	if code, p, body := o.ask(http.MethodPost, api.PathClock, token, `{"time":"2026-03-04 13:00"}`); code != http.StatusOK || !strings.Contains(string(body), `"now":"2026-03-04T13:00:00Z"`) {
		t.Fatalf("%d %+v %s", code, p, body)
	}
	_, _, trail := o.ask(http.MethodGet, api.PathAudit, token, "")
	if !strings.Contains(string(trail), `"action":"set the clock"`) || !strings.Contains(string(trail), `"before":"2026-03-04T12:00:00Z","after":"2026-03-04T13:00:00Z"`) {
		t.Errorf("the trail: %s", trail)
	}
	o.f.err = &FieldsError{Fields: map[string]string{"time": "is no time"}}
	if code, p, _ := o.ask(http.MethodPost, api.PathClock, token, `{"time":"noon"}`); code != http.StatusUnprocessableEntity || p.Fields["time"] == "" {
		t.Errorf("a wrong time: %d %+v", code, p)
	}
}
