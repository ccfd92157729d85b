package strictyaml

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Duration is a [time.Duration] that is written without needless zeros: "5m",
// not "5m0s".
type Duration time.Duration

// MarshalText writes the shortest form.
func (d Duration) MarshalText() ([]byte, error) {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return []byte(s), nil
}

// UnmarshalText reads a number with a unit, such as "1.5s" or "250ms".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	*d = Duration(v)
	return err
}

func parseDuration(s string) (time.Duration, error) {
	v, err := time.ParseDuration(s)
	if err == nil {
		return v, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, fmt.Errorf("%s has no unit -- write for example %ss or %sms", s, s, s)
	}
	return 0, fmt.Errorf("%s is not a duration -- write a number with a unit, for example 250ms, 1.5s or 5m", strconv.Quote(s))
}

var (
	decimalInt   = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
	decimalFloat = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)?(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	leadingZero  = regexp.MustCompile(`^[-+]?0[0-9]+$`)
)

// scalar decodes one scalar into v. ok is false if v's type is not a scalar type.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) (ok bool) {
	if t, isText := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); isText {
		if text, isScalar := d.text(n, path, textTypeName(v.Type())); isScalar {
			d.textValue(n, t, path, text)
		}
		return true
	}
	switch kind := v.Kind(); {
	case kind == reflect.String:
		if text, isScalar := d.text(n, path, "text"); isScalar {
			v.SetString(text)
		}
	case kind == reflect.Bool:
		d.boolean(n, v, path)
	case v.Type() == reflect.TypeFor[time.Duration]():
		d.duration(n, v, path)
	case v.CanInt(), v.CanUint():
		d.integer(n, v, path)
	case v.CanFloat():
		d.float(n, v, path)
	default:
		return false
	}
	return true
}

// text returns the scalar as it is written.
func (d *decoder) text(n *yaml.Node, path, want string) (text string, ok bool) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "wants %s, got %s", want, describe(n))
		return "", false
	}
	return n.Value, true
}

// number returns a scalar that was written without quotes.
func (d *decoder) number(n *yaml.Node, path, want string) (text string, ok bool) {
	text, ok = d.text(n, path, want)
	if ok && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		d.fail(n, path, "wants %s, got the text %s -- remove the quotes", want, strconv.Quote(text))
		return "", false
	}
	return text, ok
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.number(n, path, "true or false")
	if !ok {
		return
	}
	switch text {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	case "yes", "on", "y", "Yes", "On", "YES", "ON", "True", "TRUE":
		d.fail(n, path, "wants true or false, got %s -- write true", text)
	case "no", "off", "n", "No", "Off", "NO", "OFF", "False", "FALSE":
		d.fail(n, path, "wants true or false, got %s -- write false", text)
	default:
		d.fail(n, path, "wants true or false, got %s", describe(n))
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.number(n, path, "a whole number")
	if !ok {
		return
	}
	if !decimalInt.MatchString(text) {
		if leadingZero.MatchString(text) {
			d.fail(n, path, "%s has a leading zero, which YAML may read as octal -- write it without", text)
			return
		}
		d.fail(n, path, "wants a whole number, got %s -- write decimal digits only", describe(n))
		return
	}
	if v.CanInt() {
		i, err := strconv.ParseInt(strings.TrimPrefix(text, "+"), 10, v.Type().Bits())
		if err != nil {
			d.fail(n, path, "%s is out of range", text)
			return
		}
		v.SetInt(i)
		return
	}
	u, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, v.Type().Bits())
	if err != nil {
		d.fail(n, path, "%s is out of range -- use 0 to %d", text, uint64(1)<<(v.Type().Bits()-1)*2-1)
		return
	}
	v.SetUint(u)
}

func (d *decoder) float(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.number(n, path, "a number")
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(text, v.Type().Bits())
	if !decimalFloat.MatchString(text) || err != nil {
		d.fail(n, path, "wants a number, got %s -- write for example 0.1 or 25", describe(n))
		return
	}
	v.SetFloat(f)
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.text(n, path, "a duration")
	if !ok {
		return
	}
	t, err := parseDuration(text)
	if err != nil {
		d.fail(n, path, "%s", err.Error())
		return
	}
	v.SetInt(int64(t))
}

func (d *decoder) textValue(n *yaml.Node, t encoding.TextUnmarshaler, path, text string) {
	err := t.UnmarshalText([]byte(text))
	if err == nil {
		return
	}
	switch t.(type) {
	case *netip.Addr:
		d.fail(n, path, "%s is not an IP address -- write for example 192.168.94.100 or 2001:db8::1", strconv.Quote(text))
	case *netip.AddrPort:
		d.fail(n, path, "%s is not an address with a port -- write for example 192.168.94.10:9443 or [2001:db8::1]:9443", strconv.Quote(text))
	case *netip.Prefix:
		d.fail(n, path, "%s is not a network -- write for example 192.168.94.0/24", strconv.Quote(text))
	default:
		d.fail(n, path, "%s", err.Error())
	}
}

// textTypeName says what a text type wants, for the wrong-kind message.
func textTypeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return "an IP address"
	case reflect.TypeFor[netip.AddrPort]():
		return "an address with a port"
	case reflect.TypeFor[Duration]():
		return "a duration"
	}
	return "text"
}

// describe names a value for a message: short, with its kind.
func describe(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return "a map"
	}
	if n.Kind == yaml.SequenceNode {
		return "a list"
	}
	r := []rune(n.Value)
	if len(r) > 40 {
		return strconv.Quote(string(r[:40])) + "…"
	}
	return strconv.Quote(n.Value)
}
