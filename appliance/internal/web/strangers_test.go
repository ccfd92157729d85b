package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// counted is a body that tells how much of it was read.
type counted struct {
	*strings.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// TestStrangersCostNothing: without a session no form is read, and the one that logs in
// is a small one.
func TestStrangersCostNothing(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.answer("GET "+api.PathSession, api.Problem{Status: http.StatusUnauthorized})
	for path, most := range map[string]int{"/lbadmin/commit/apply": 0, "/lbadmin/restore": 0, "/lbadmin/login": 64 << 10} {
		body := &counted{Reader: strings.NewReader("user=" + strings.Repeat("x", 900<<10))}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		d.http.ServeHTTP(w, r)
		if body.read > most || w.Code < 400 {
			t.Errorf("%s: %d bytes of a stranger were read, and answered with %d", path, body.read, w.Code)
		}
	}
}
