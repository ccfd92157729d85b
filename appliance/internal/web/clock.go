package web

import "github.com/vosbed/vosbed/appliance/api"

const clockPath = datetimePath + "/clock"

// hardwareUnset is what the page is told after the clock was set but for the hardware's.
const hardwareUnset = "hardware"

// clockEditor is the form that sets the clock by hand.
func clockEditor(text string) editor {
	return editor{Action: clockPath, Submit: "Set the clock", Cancel: datetimePath, Under: "datetime", Sections: []section{{Title: "Set the clock by hand", Inputs: []input{
		{Name: "time", Label: "Date and Time", Value: text, Required: true, Placeholder: "2026-03-04 12:00:00", Hint: "As clocks in the system timezone show it, 2026-03-04 12:00:00, or with an offset: 2026-03-04T12:00:00Z"},
	}}}}
}

func (v *visit) editClock() error { return v.editor(clockTitle, clockEditor(""), formError{}) }

const clockTitle = "System Date & Time"

func (v *visit) setClock() error {
	text := v.form("time")
	err := needed("time", text)
	var done api.ClockSet
	if err == nil {
		done, err = v.api.SetClock(v.ctx(), text)
	}
	if refused, ok := fieldErrors(err); ok {
		return v.editor(clockTitle, clockEditor(text), refused)
	}
	if err != nil {
		return err
	}
	if done.Hardware != "" {
		return v.goTo(datetimePath + "?" + hardwareUnset + "=unset")
	}
	return v.goTo(datetimePath)
}
