package web

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	securityPath  = Root + "security"
	securityTitle = "Security"
)

// securityData is the certificate in use and the addresses of the WebUI.
type securityData struct {
	Certificate api.Certificate
	Ends        badge
	Admin       bool
	Chain, Key  input
	Own         *input // the person's password, unless it was given a moment ago
	Refused     formError
	Sockets     editor
	Addresses   [][2]string // the same for who may not change them
}

// Errors are what was wrong with a certificate.
func (d securityData) Errors() formError { return d.Refused }

// Wrong lists its inputs with an error.
func (d securityData) Wrong() []input {
	all := []input{d.Chain, d.Key}
	if d.Own != nil {
		all = append(all, *d.Own)
	}
	return slices.DeleteFunc(all, func(i input) bool { return i.Error == "" })
}

func (v *visit) security() error { return v.securityPage(formError{}, editor{}, formError{}) }

// securityPage shows the screen. A form that was refused keeps its input: an editor
// without sections is one that was not sent.
func (v *visit) securityPage(refused formError, sockets editor, wrong formError) error {
	cert, err := v.api.Certificate(v.ctx())
	if err != nil {
		return err
	}
	if len(sockets.Sections) == 0 {
		part, err := v.api.DraftPart(v.ctx(), "node")
		if err != nil {
			return err
		}
		sockets = socketsForm(part.Fields, part.Tag)
	}
	sockets.place(wrong)
	d := securityData{
		Certificate: cert, Ends: endBadge(cert, v.opts.Now()), Admin: v.may(api.RoleAdmin), Refused: refused, Sockets: sockets,
		Chain: input{Name: "chain", Label: "Certificate", Kind: "file", Error: refused.Fields["chain"], Hint: "PEM; the appliance's own certificate first, then those that signed it"},
		Key:   input{Name: "key", Label: "Private key", Kind: "file", Error: refused.Fields["key"], Hint: "PEM, without a password; it is never shown again"},
	}
	for _, i := range sockets.Sections[0].Inputs {
		d.Addresses = append(d.Addresses, [2]string{i.Label, or(i.Value, "off")})
	}
	for _, i := range v.withOwnPassword(nil) {
		i.Error = refused.Fields[i.Name]
		d.Own = &i
	}
	return v.show(max(refused.status(), wrong.status()), "security", securityTitle, d)
}

// endBadge tells how long a certificate is still good for.
func endBadge(c api.Certificate, now time.Time) badge {
	const day = 24 * time.Hour
	switch left := c.NotAfter.Sub(now); {
	case left <= 0:
		return badge{"bad", "✖", "Expired"}
	case left < 7*day:
		return badge{"bad", "✖", "Expires within a week"}
	case left < 30*day:
		return badge{"warn", "▲", "Expires within 30 days"}
	}
	return badge{"good", "✔", "Valid"}
}

// setCertificate takes an uploaded certificate in use.
func (v *visit) setCertificate() error {
	chain, err := v.uploaded("chain")
	key, keyErr := v.uploaded("key")
	if err = joinProblems(err, keyErr); err == nil {
		err = v.confirmFirst()
	}
	if err == nil {
		_, err = v.api.SetCertificate(v.ctx(), api.NewCertificate{Chain: string(chain), Key: string(key)})
	}
	return v.certificateChanged(err)
}

// resetCertificate goes back to the one that the node makes.
func (v *visit) resetCertificate() error {
	err := v.confirmFirst()
	if err == nil {
		_, err = v.api.ResetCertificate(v.ctx())
	}
	return v.certificateChanged(err)
}

func (v *visit) certificateChanged(err error) error {
	if refused, ok := fieldErrors(err); ok {
		return v.securityPage(refused, editor{}, formError{})
	}
	if err != nil {
		return err
	}
	return v.goTo(securityPath)
}

// joinProblems tells the mistakes of two fields at once.
func joinProblems(a, b error) error {
	first, isA := asProblem(a)
	second, isB := asProblem(b)
	if !isA || !isB {
		return errors.Join(a, b)
	}
	maps.Copy(first.Fields, second.Fields)
	return &api.ProblemError{Problem: first}
}

// socketsForm is the form of the service socket addresses (guide 9.5).
func socketsForm(f api.Fields, tag string) editor {
	return editor{
		Action: securityPath + "/sockets", Submit: "Update", Tag: tag, Under: "security",
		Sections: []section{{Title: "Service Socket Addresses", Inputs: []input{
			{Name: "management", Label: "WebUI – HTTPS", Value: f["management"], Required: f["management_dhcp"] == "", Hint: "Addresses of this node with commas, port 9443 unless another is written: 192.168.94.10 or 192.168.94.10:443"},
			{Name: "management_dhcp", Label: "WebUI – HTTPS by DHCP", Value: f["management_dhcp"], Hint: "Interfaces with DHCP, such as eth0: the WebUI is at the addresses that they lease, port 9443"},
			{Name: "management_http", Label: "WebUI – HTTP", Value: f["management_http"], Hint: "Blank: off. Port 9080 unless another is written. It only leads browsers to HTTPS: nobody can log in over plain HTTP"},
			{Name: "fallback", Label: "Fallback page", Value: f["fallback"], Hint: "Blank: at the addresses of the WebUI, port 9081"},
		}}},
	}
}

// setSockets changes them in the pending changes.
func (v *visit) setSockets() error {
	sent := v.posted(socketsForm(api.Fields{}, ""))
	var err error
	if sent["management"] == "" && sent["management_dhcp"] == "" {
		const text = "the WebUI needs an address, or nobody could come back to this page"
		err = &api.ProblemError{Problem: api.Problem{Status: http.StatusUnprocessableEntity, Detail: text, Fields: map[string]string{"management": text}}}
	} else {
		err = v.api.SetPart(v.ctx(), v.form("tag"), "node", sent)
	}
	if refused, tag, ok := v.again(err); ok {
		refused.Fields = byList(refused.Fields)
		return v.securityPage(formError{}, socketsForm(sent, tag), refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(securityPath)
}

// byList puts the mistakes of the items of a list ("management[1]") at the list.
func byList(fields map[string]string) map[string]string {
	out := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		list, _, _ := strings.Cut(key, "[")
		out[list] = strings.TrimPrefix(out[list]+"; "+fields[key], "; ")
	}
	return out
}

// movedData are the new addresses of the WebUI.
type movedData struct{ Links []string }

// moves returns where the WebUI will be once the pending changes are in force, if it will
// no longer be where the person is.
func (v *visit) moves() []string {
	here, ok := v.ctx().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return nil
	}
	part, err := v.api.DraftPart(v.ctx(), "node")
	if err != nil {
		return nil
	}
	list := strings.Split(part.Fields["management"], ",")
	if slices.Contains(list, here.String()) || v.leased(part.Fields["management_dhcp"], here.String()) {
		return nil
	}
	var out []string
	for _, at := range list {
		if at != "" {
			out = append(out, "https://"+at+Root)
		}
	}
	return out
}

// leased says whether an address is one by DHCP where the WebUI is to be.
func (v *visit) leased(interfaces, here string) bool {
	facts := v.facts()
	if facts == nil {
		return false
	}
	host, _, err := net.SplitHostPort(here)
	return err == nil && slices.ContainsFunc(facts.Interfaces, func(n api.NIC) bool {
		if n.Lease == nil || !slices.Contains(strings.Split(interfaces, ","), n.Name) {
			return false
		}
		own, _, _ := strings.Cut(n.Lease.Address, "/")
		return own == host
	})
}
