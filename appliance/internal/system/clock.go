package system

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// rtcDevice is the clock that goes on while the machine is off (rtc(4)).
const rtcDevice = "/dev/rtc0"

// lastTime bounds what the clock is set to: what begins with it is a slip of the keyboard.
func lastTime() time.Time { return time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) }

// firstTime is the earliest: no machine runs a program before it was made. Built is when it
// was, the zero time = not known.
func firstTime(built time.Time) time.Time {
	first := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if built.After(first) {
		return built.UTC()
	}
	return first
}

// ParseTime reads a time that a person has written: as RFC 3339 has it, or without an offset
// as the clocks of a zone show it. What does not lie between when the program was made and
// 2100 is refused.
func ParseTime(text string, zone *time.Location, built time.Time) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"} {
		if err != nil {
			at, err = time.ParseInLocation(layout, text, zone)
		}
	}
	switch first := firstTime(built); {
	case err != nil:
		return at, fmt.Errorf("%q is no time: write for example 2026-03-04 12:00:00, as clocks in %s show it, or 2026-03-04T12:00:00Z", text, zone)
	case at.Before(first):
		return at, fmt.Errorf("%s is before %s, when this program was not made yet: look at the year", at.UTC().Format(time.RFC3339), first.Format(time.RFC3339))
	case !at.Before(lastTime()):
		return at, fmt.Errorf("%s is not before %s: look at the year", at.UTC().Format(time.RFC3339), lastTime().Format(time.RFC3339))
	}
	return at.UTC(), nil
}

// Location is the zone that the machine has at present; UTC where it is not known.
func (a *Actuator) Location() *time.Location {
	if zone, err := time.LoadLocation(a.presentZone()); err == nil {
		return zone
	}
	return time.UTC
}

// SetClock sets the machine's clock, and the one that goes on while it is off. Hardware says
// why that one was not set, "" = it was; a machine without one starts with another time.
func (a *Actuator) SetClock(at time.Time) (hardware string, err error) {
	if err := a.opts.SetTime(at); err != nil {
		return "", fmt.Errorf("set the clock: %w", err)
	}
	if failed := a.opts.SetHardware(at); failed != nil {
		hardware = failed.Error()
	}
	return hardware, nil
}

// ErrShared says that the clock is of a machine that is not this node's alone.
var ErrShared = errors.New("this node runs in a network namespace of its own, beside others that have the same clock: set it on the machine itself")

// setTime sets the kernel's clock, unless the node is one of several in a laboratory or a
// container: they have networks of their own, and the clock in common.
func setTime(at time.Time) error {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	if first, err := os.Readlink("/proc/1/ns/net"); err != nil || first != own {
		return ErrShared
	}
	tv := unix.NsecToTimeval(at.UnixNano())
	return unix.Settimeofday(&tv)
}

// setHardware sets the machine's, which keeps UTC.
func setHardware(at time.Time) error {
	f, err := os.OpenFile(rtcDevice, os.O_WRONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this machine has no hardware clock, so it has another time after a restart")
	}
	if err != nil {
		return fmt.Errorf("the hardware clock is not set: %w", err)
	}
	defer f.Close()
	if err := unix.IoctlSetRTCTime(int(f.Fd()), rtcTime(at)); err != nil {
		return fmt.Errorf("the hardware clock is not set: %w", err)
	}
	return nil
}

// rtcTime is a time as rtc(4) has it: months from 0, years from 1900.
func rtcTime(at time.Time) *unix.RTCTime {
	at = at.UTC()
	return &unix.RTCTime{
		Sec: int32(at.Second()), Min: int32(at.Minute()), Hour: int32(at.Hour()),
		Mday: int32(at.Day()), Mon: int32(at.Month()) - 1, Year: int32(at.Year()) - 1900,
	}
}
