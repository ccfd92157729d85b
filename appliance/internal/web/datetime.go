package web

import "github.com/vosbed/vosbed/appliance/api"

const datetimePath = Root + "datetime"

// datetimeScreen is Local Configuration > System Date & Time.
func datetimeScreen() settingsScreen {
	return settingsScreen{"datetime", datetimePath, "System Date & Time", func(f api.Fields) []section {
		return []section{{Title: "Date & Time", Inputs: []input{
			{Name: "time.zone", Label: "System Timezone", Value: f["time.zone"], Hint: "A name such as Europe/London or UTC. Blank: the machine's own"},
			{Name: "time.servers", Label: "NTP Servers", Value: f["time.servers"], Hint: "Names or addresses, with commas: 0.pool.ntp.org,1.pool.ntp.org. Blank: the machine's own"},
		}}}
	}}
}
