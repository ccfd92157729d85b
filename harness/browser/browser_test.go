package browser_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/browser"
)

func TestWordsNameWhatIsDoneAndNoSecrets(t *testing.T) {
	for want, a := range map[string]browser.Action{
		"open /lbadmin/":                    {Open: "/lbadmin/"},
		"click “Modify” near “HM1”":         {Click: "Modify", Near: "HM1"},
		"fill Username, Password":           {Fill: browser.Fields{{Label: "Username", Value: "x"}, {Label: "Password", Value: "secret"}}},
		"read Forwarding Method":            {Shows: browser.Fields{{Label: "Forwarding Method", Value: "Direct Routing"}}},
		"menu Maintenance > Restart":        {Menu: []string{"Maintenance", "Restart"}},
		"see “Healthy”":                     {See: "Healthy"},
		"no longer see “Commit changes”":    {Gone: "Commit changes"},
		"see the row HM1 | 192.168.94.105":  {Row: browser.Cells{"HM1", "192.168.94.105"}},
		"examine the page with axe":         {Axe: true},
		"nothing":                           {},
		"fill Label near “Virtual Service”": {Fill: browser.Fields{{Label: "Label"}}, Near: "Virtual Service"},
	} {
		if got := a.Words(); got != want {
			t.Errorf("%+v is %q, want %q", a, got, want)
		}
	}
}

func TestCheckRefusesWhatCannotBeMeant(t *testing.T) {
	for want, a := range map[string]browser.Action{
		"exactly one thing":     {},
		"[click see]":           {Click: "a", See: "b"},
		"only click, fill":      {See: "a", Near: "b"},
		"at most 2m0s":          {See: "a", Within: time.Hour},
		"begins with /":         {Open: "https://192.0.2.1/"},
		"this one [fill shows]": {Fill: browser.Fields{}, Shows: browser.Fields{}},
	} {
		if err := a.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", a, err, want)
		}
	}
	if err := (browser.Action{Click: "a", Near: "b", Within: browser.MaxPatience}).Check(); err != nil {
		t.Error(err)
	}
}

func TestAnOrderIsTheSameBehindTheWire(t *testing.T) {
	o := browser.Order{
		Base: "https://192.168.94.10:9443", Shot: "x.png", Always: true,
		Do: []browser.Action{
			{Fill: browser.Fields{{Label: "Ports", Value: "80"}, {Label: "Label"}}, Near: "One", Within: time.Second},
			{Row: browser.Cells{"a", "1"}},
			{Menu: []string{"a", "b"}},
			{Axe: true},
		},
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var again browser.Order
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(o, again); d != "" {
		t.Error(d)
	}
}

func TestTheBoundLeavesEveryActionItsPatience(t *testing.T) {
	o := browser.Order{Do: []browser.Action{{See: "x", Within: time.Minute}, {Fill: browser.Fields{{Label: "a"}, {Label: "b"}}}}}
	if least := time.Minute + 2*browser.Patience + browser.Slack; o.Bound() < least || o.Bound() > 2*least {
		t.Errorf("bound %s, want a little more than %s", o.Bound(), least)
	}
}
