package step

import (
	"fmt"
	"strings"

	"github.com/vosbed/vosbed/harness/scenario"
)

// Words says what a step does, for people.
func Words(st scenario.Step) string {
	if st.Name != "" {
		return st.Name + ": " + words(st)
	}
	return words(st)
}

func words(st scenario.Step) string {
	switch st.Kind() {
	case "start":
		return "start " + strings.Join(st.Start, ", ")
	case "stop":
		return "stop " + strings.Join(st.Stop, ", ")
	case "run":
		return "run " + st.Run
	case "wait":
		return "wait " + st.Wait.String()
	case "until":
		return untilWords(*st.Until)
	case "fault":
		return fmt.Sprintf("fault: %s %s", st.Fault.Kind, st.Fault.Target)
	case "heal":
		return "heal " + st.Heal
	case "admin":
		state, id := adminState(*st.Admin)
		if d := st.Admin.Deadline; d > 0 {
			return fmt.Sprintf("%s %s, halt it after %s", state, id, d)
		}
		return state + " " + id
	case "pair":
		return pairWords(*st.Pair)
	case "restart":
		return "restart " + st.Restart
	case "kill-daemon":
		return "kill -9 the daemon of " + st.KillDaemon + " and start it again"
	case "persistence":
		return "clear persistence entries"
	case "trials":
		return fmt.Sprintf("%d trials of %s", st.Trials.Count, st.Trials.Name)
	case "interleave":
		return fmt.Sprintf("%d turns of %s", st.Interleave.Pairs, strings.Join(st.Interleave.Loads(), ", "))
	case "parallel":
		return fmt.Sprintf("%d steps at once", len(st.Parallel))
	}
	return atNode(st)
}

// atNode says what is looked at or done at one node.
func atNode(st scenario.Step) string {
	switch st.Kind() {
	case "sample":
		return "sample " + st.Sample.Metric
	case "ledger":
		return "read " + st.Ledger.Metric + " from " + st.Ledger.Node
	case "arp":
		return fmt.Sprintf("ARP problem of %s: %s", st.ARP.Node, st.ARP.Set)
	case "forget":
		return st.Forget + " forgets who has the VIPs"
	case "carried":
		return "count who carried the probes: " + st.Carried
	case "play":
		return playWords(*st.Play)
	case "browser":
		return browserWords(*st.Browser)
	case "password":
		return fmt.Sprintf("set the password of %s on %s", st.Password.User, st.Password.Node)
	}
	return "nothing"
}

func untilWords(u scenario.Until) string {
	on := ""
	if u.Node != "" {
		on = " on " + u.Node
	}
	return fmt.Sprintf("until %s%s, within %s", u.Expr, on, u.Within)
}

func pairWords(p scenario.Pair) string {
	if p.Takeover != "" {
		return "takeover by " + p.Takeover
	}
	return "release by " + p.Release
}

// adminState returns the asked state and the real server of an admin step.
func adminState(a scenario.Admin) (state, id string) {
	switch {
	case a.Drain != "":
		return "drain", a.Drain
	case a.Halt != "":
		return "halt", a.Halt
	}
	return "online", a.Online
}
