package step

import (
	"strings"
	"testing"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/scenario"
)

func TestPicturesAreNamedAfterTheirSteps(t *testing.T) {
	for name, want := range map[string]string{
		"10.1.1-1 Add a new Virtual Service": "10.1.1-1-add-a-new-virtual-service",
		"Layer 7 – Real Servers":             "layer-7-real-servers",
		"../../etc/passwd":                   "etc-passwd",
		strings.Repeat("x", 100):             strings.Repeat("x", 60),
		"…":                                  "",
	} {
		if got := slug(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestABrowserStepSaysWhatItDoesAndNoPassword(t *testing.T) {
	st := scenario.Step{Name: "9.3-2", Browser: &scenario.BrowserStep{From: "pc", To: "lb1", Do: []browser.Action{
		{Fill: browser.Fields{{Label: "Password", Value: "secret"}}}, {Click: "Log in"},
	}}}
	if got, want := Words(st), "9.3-2: on pc, WebUI of lb1: fill Password; click “Log in”"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	st = scenario.Step{Password: &scenario.PasswordStep{Node: "lb1", User: "loadbalancer", Value: "secret"}}
	if got, want := Words(st), "set the password of loadbalancer on lb1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
