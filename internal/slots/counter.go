package slots

import (
	"fmt"
	"strconv"
	"strings"
)

// entryDir is where systemd-boot looks for entries.
const entryDir = "loader/entries"

// counter is what the name of an entry says: of an uncounted one the system is proven.
type counter struct {
	counted    bool
	left, done int
}

// name is the file of a slot's entry.
func name(s Slot, c counter) string {
	if !c.counted {
		return "vosbed-" + string(s) + ".conf"
	}
	if c.done == 0 {
		return fmt.Sprintf("vosbed-%s+%d.conf", s, c.left)
	}
	return fmt.Sprintf("vosbed-%s+%d-%d.conf", s, c.left, c.done)
}

// parseName is the inverse of name; false for other files.
func parseName(file string) (Slot, counter, bool) {
	rest, isEntry := strings.CutSuffix(file, ".conf")
	rest, isOurs := strings.CutPrefix(rest, "vosbed-")
	slot, tries, counted := strings.Cut(rest, "+")
	s := Slot(slot)
	if !isEntry || !isOurs || s != A && s != B {
		return "", counter{}, false
	}
	if !counted {
		return s, counter{}, true
	}
	left, done, _ := strings.Cut(tries, "-")
	c := counter{counted: true}
	var err error
	if c.left, err = strconv.Atoi(left); err != nil || c.left < 0 {
		return "", counter{}, false
	}
	if done != "" {
		if c.done, err = strconv.Atoi(done); err != nil || c.done < 0 {
			return "", counter{}, false
		}
	}
	return s, c, true
}
