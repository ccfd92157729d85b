package slots

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// envFile is GRUB's environment block. GRUB writes it in place, so its size never changes.
const envFile = "grub/grubenv"

// Of the environment block (GRUB manual, "The GRUB environment block").
const (
	envSize = 1024
	envHead = "# GRUB Environment Block\n"
)

var errNoEnvironment = errors.New("grub/grubenv is no environment block of GRUB's")

// environment is what GRUB goes by.
type environment struct {
	first Slot
	// trying says that the first slot is not proven; left are its tries.
	trying bool
	left   int
}

func (e environment) encode() []byte {
	text := envHead + "first=" + string(e.first) + "\n"
	if e.trying {
		text += "left=" + strconv.Itoa(e.left) + "\n"
	} else {
		text += "left=\n"
	}
	return append([]byte(text), bytes.Repeat([]byte{'#'}, envSize-len(text))...)
}

func parseEnvironment(b []byte) (environment, error) {
	e := environment{first: A}
	if len(b) != envSize || !bytes.HasPrefix(b, []byte(envHead)) {
		return e, errNoEnvironment
	}
	for line := range strings.Lines(string(b[len(envHead):])) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		switch key {
		case "first":
			e.first = Slot(value)
		case "left":
			if value == "" {
				continue
			}
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > Tries {
				return e, errNoEnvironment
			}
			e.trying, e.left = true, n
		}
	}
	if e.first != A && e.first != B {
		return e, errNoEnvironment
	}
	return e, nil
}
