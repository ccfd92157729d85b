package config

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/vosbed/vosbed/appliance/lb"
)

type updateFile struct {
	Server string `yaml:"server,omitempty"`
	CAFile string `yaml:"ca_file,omitempty"`
	Proxy  string `yaml:"proxy,omitempty"`
	Manual bool   `yaml:"manual,omitempty"`
}

// maxUpdateText bounds each setting of the update server in bytes.
const maxUpdateText = 1024

// validateUpdate reports where no update could come from.
func validateUpdate(r *reader, u lb.Update) {
	const at, example = "node.update.", "https://updates.example.org/vosbed/"
	for _, t := range []struct{ key, text string }{{"server", u.Server}, {"ca_file", u.CAFile}, {"proxy", u.Proxy}} {
		if len(t.text) > maxUpdateText || strings.ContainsFunc(t.text, unseen) {
			r.fail(at+t.key, "has more than %d bytes, or a character that cannot be seen -- write it anew", maxUpdateText)
			return
		}
	}
	if u.Server != "" && !webAddress(u.Server, "https") {
		r.fail(at+"server", "%q is not the address of a folder on a web server -- write for example %s", u.Server, example)
	}
	if u.Proxy != "" && (!webAddress(u.Proxy, "http") || strings.Trim(pathOfAddress(u.Proxy), "/") != "") {
		r.fail(at+"proxy", "%q is not the address of a proxy -- write for example http://proxy.example.org:3128", u.Proxy)
	}
	if u.CAFile != "" && !strings.HasPrefix(u.CAFile, "/") {
		r.fail(at+"ca_file", "%q is not an absolute path -- write it from /", u.CAFile)
	}
	if u.Server == "" && (u.CAFile != "" || u.Proxy != "" || u.Manual) {
		r.fail(at+"server", "is needed where ca_file, proxy or manual is written -- write for example %s, or remove them", example)
	}
}

func unseen(c rune) bool { return !unicode.IsGraphic(c) || c == unicode.ReplacementChar }

// webAddress tells an address of a scheme that has a host, and neither a person's password,
// a question nor a place in a page.
func webAddress(text, scheme string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == scheme && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.Contains(text, "#")
}

func pathOfAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Path
}
