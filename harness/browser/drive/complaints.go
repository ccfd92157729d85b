package drive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
)

// listen gathers what goes wrong in the page without being seen: scripts that fail, and
// what its own content security policy forbids.
func (t *tab) listen(ctx context.Context, page *chromedp.Target) error {
	thrown, _ := page.Subscribe("Runtime.exceptionThrown")
	logged, _ := page.Subscribe("Log.entryAdded")
	go func() { // ends with the page
		for thrown != nil || logged != nil {
			select {
			case ev, open := <-thrown:
				if !open {
					thrown = nil
				}
				t.complaints.add(exception(ev))
			case ev, open := <-logged:
				if !open {
					logged = nil
				}
				t.complaints.add(entry(ev))
			}
		}
	}()
	return errors.Join(page.Call(ctx, "Runtime.enable", nil, nil), page.Call(ctx, "Log.enable", nil, nil))
}

// exception is what a script threw that nobody caught, "" = nothing.
func exception(ev []byte) string {
	var e struct {
		Details struct {
			Text      string `json:"text"`
			URL       string `json:"url"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	if json.Unmarshal(ev, &e) != nil || e.Details.Text == "" {
		return ""
	}
	return fmt.Sprintf("%s %s (%s)", e.Details.Text, e.Details.Exception.Description, e.Details.URL)
}

// entry is an error in the browser's log, "" = nothing, or one of the network: what cannot
// be loaded may be meant so.
func entry(ev []byte) string {
	var e struct {
		Entry struct {
			Source string `json:"source"`
			Level  string `json:"level"`
			Text   string `json:"text"`
		} `json:"entry"`
	}
	if json.Unmarshal(ev, &e) != nil || e.Entry.Level != "error" || e.Entry.Source == "network" {
		return ""
	}
	return e.Entry.Text
}

// complained turns the complaints into an error, nil if there are none.
func (s *session) complained() error {
	said := s.complaints.take()
	if len(said) == 0 {
		return nil
	}
	return fmt.Errorf("the page itself complains: %s", strings.Join(said[:min(len(said), maxComplaints)], "; "))
}

// maxComplaints is how many are told at once.
const maxComplaints = 5
