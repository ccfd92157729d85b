package web_test

import (
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

func TestLogs(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathLogs, []api.LogLine{
		{At: noon(), Level: "warn", Text: `<script>alert(1)</script>`}, {At: noon(), Level: "info", Text: "pair decision"},
	})
	d.open("/lbadmin/logs").want(200, "2 lines", "<script>alert(1)</script>", "▲ warning", "pair decision")
	d.open("/lbadmin/logs?text=PAIR&level=warn").want(200, "1 line", "pair decision").without("alert")
	file := d.open("/lbadmin/logs.txt")
	if file.Status != 200 || file.Header.Get("Content-Disposition") == "" {
		t.Errorf("the file: %d %v", file.Status, file.Header)
	}
}
