package web

import (
	"net"

	"github.com/vosbed/vosbed/appliance/api"
)

// availabilityData is the page of guide 14.1.2: how to make a pair, or the pair.
type availabilityData struct {
	Admin   bool
	Paired  bool
	Pending bool // a pair is prepared and waits in the commit box
	Status  api.Status
	Nodes   []pairNode
	// The first step asks for an address, the second shows what is there.
	Look, Create editor
	Report       *api.PeerReport
}

// pairNode is one of the two boxes.
type pairNode struct {
	Seat, Addr, Role string
	Here             bool
}

func (v *visit) availability() error { return v.availabilityPage(nil, formError{}) }

// availabilityPage shows the page; report is what was seen of a future peer.
func (v *visit) availabilityPage(report *api.PeerReport, refused formError) error {
	st, err := v.status()
	if err != nil {
		return err
	}
	part, err := v.api.DraftPart(v.ctx(), "node")
	if err != nil {
		return err
	}
	d := availabilityData{Admin: v.may(api.RoleAdmin), Paired: st.Role != "standalone", Status: st, Report: report}
	d.Pending = !d.Paired && part.Fields["heartbeat[0].peer"] != ""
	title := "High-Availability Configuration"
	if d.Paired {
		title = "High Availability Configuration - " + st.Seat
		d.Nodes = nodesOf(st, part.Fields)
	}
	d.Look = lookForm(v.form("address"))
	if report == nil || len(report.Blocks) > 0 {
		d.Look.place(refused)
	} else {
		d.Create = createForm(*report, v.form("local"))
		d.Create.Sections[0].Inputs = v.withOwnPassword(d.Create.Sections[0].Inputs)
		d.Create.place(refused)
	}
	return v.show(refused.status(), "availability", title, d)
}

// nodesOf are the primary and the secondary with their addresses.
func nodesOf(st api.Status, f api.Fields) []pairNode {
	here := pairNode{Seat: st.Seat, Addr: hostOf(f["heartbeat[0].local"]), Role: st.Role, Here: true}
	there := pairNode{Seat: "secondary", Addr: hostOf(f["heartbeat[0].peer"]), Role: or(st.Pair.PeerRole, "unknown")}
	if !st.Pair.PeerAlive {
		there.Role = "silent"
	}
	if st.Seat == "secondary" {
		there.Seat = "primary"
		return []pairNode{there, here}
	}
	return []pairNode{here, there}
}

func hostOf(endpoint string) string {
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		return endpoint
	}
	return host
}

// lookForm is the first step: who is the peer?
func lookForm(address string) editor {
	return editor{Action: Root + "availability/look", Submit: "Look at the peer", Sections: []section{{Title: "The peer", Inputs: []input{
		{Name: "address", Label: "IP address of the peer", Value: address, Required: true, Hint: "The appliance that will be the Secondary; it must be empty"},
	}}}}
}

// peerPassword is the guide's word for it (14.1.2).
const peerPassword = "loadbalancer user's password of the peer"

// createForm is the second step: the password goes to what was seen, and to nobody else.
func createForm(r api.PeerReport, local string) editor {
	var locals []option
	for _, a := range r.Locals {
		locals = append(locals, option{a, a})
	}
	return editor{Action: Root + "availability/create", Submit: "Add new node", Cancel: Root + "availability", Sections: []section{{Title: "The new node", Inputs: []input{
		{Name: "local", Label: "Local IP address", Kind: "select", Value: local, Options: locals},
		{Name: "password", Label: peerPassword, Kind: "password", Required: true},
		{Name: "address", Kind: "hidden", Value: r.Address},
		{Name: "fingerprint", Kind: "hidden", Value: r.Fingerprint},
	}}}}
}

func (v *visit) lookAtPeer() error {
	report, err := v.api.LookAtPeer(v.ctx(), v.form("address"))
	if refused, ok := fieldErrors(err); ok {
		return v.availabilityPage(nil, refused)
	}
	if err != nil {
		return err
	}
	return v.availabilityPage(&report, formError{})
}

func (v *visit) createPair() error {
	want := api.PairCreate{
		Local: v.form("local"), Address: v.form("address"), Fingerprint: v.form("fingerprint"), Password: v.r.PostFormValue("password"),
	}
	err := v.confirmFirst()
	if err == nil {
		err = v.api.CreatePair(v.ctx(), want)
	}
	if refused, ok := fieldErrors(err); ok {
		report, lookErr := v.api.LookAtPeer(v.ctx(), want.Address)
		if lookErr != nil {
			return v.availabilityPage(nil, refused)
		}
		return v.availabilityPage(&report, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(Root + "availability")
}

func (v *visit) breakPair() error {
	if err := v.api.BreakPair(v.ctx()); err != nil {
		return v.refused("Break Clustered Pair", Root+"availability", err)
	}
	return v.goTo(Root + "availability")
}

// movePair is "takeover" or "release".
func (v *visit) movePair() error {
	if err := v.api.PairCommand(v.ctx(), v.form("command")); err != nil {
		return v.refused("The virtual addresses stay where they are", Root+"availability", err)
	}
	return v.goTo(Root + "availability")
}
