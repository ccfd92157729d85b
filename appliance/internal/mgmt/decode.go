package mgmt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"
)

// formatError is a request that cannot be read: 400, 413 or 415.
type formatError struct {
	status int
	detail string
}

func (e *formatError) Error() string { return e.detail }

// decode reads exactly one JSON object. Unknown fields, a second value and wrong
// types are refused with their line and column.
func decode(r *http.Request, out any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &formatError{http.StatusUnsupportedMediaType, "the body must be JSON (Content-Type: application/json)"}
	}
	data, err := readBody(r)
	if err != nil {
		return err
	}
	return decodeJSON(data, out)
}

// readBody reads a body within its bound.
func readBody(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &formatError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", tooLong.Limit)}
	}
	if err != nil {
		return nil, &formatError{http.StatusBadRequest, "the body could not be read: " + err.Error()}
	}
	return data, nil
}

func decodeJSON(data []byte, out any) error {
	if !utf8.Valid(data) { // the decoder would put other characters in its place
		return located(data, int64(validUntil(data)), "the text is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return located(data, at(data, err, d.InputOffset()), strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return located(data, d.InputOffset(), "there is something after the JSON value")
	}
	return nil
}

// validUntil is where the first byte is that is no UTF-8.
func validUntil(data []byte) int {
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

// at returns the best known place of a JSON error; offset is where reading ended.
func at(data []byte, err error, offset int64) int64 {
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return syntax.Offset
	case errors.As(err, &kind):
		return kind.Offset
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return max(0, int64(bytes.LastIndex(data[:min(offset, int64(len(data)))], []byte(name))))
	}
	return offset
}

func located(data []byte, offset int64, msg string) error {
	before := data[:min(max(offset, 0), int64(len(data)))]
	line := bytes.Count(before, []byte("\n")) + 1
	col := len(before) - bytes.LastIndexByte(before, '\n')
	return &formatError{http.StatusBadRequest, fmt.Sprintf("body:%d:%d: %s", line, col, msg)}
}

// parseFilter reads a query; unknown and repeated keys are refused, because a
// mistyped key would otherwise clear the whole table.
func parseFilter(query string) (Filter, error) {
	var f Filter
	values, err := url.ParseQuery(query)
	if err != nil {
		return f, &formatError{http.StatusBadRequest, "the query cannot be read: " + err.Error()}
	}
	for key, vs := range values {
		if len(vs) != 1 || vs[0] == "" {
			return Filter{}, &formatError{http.StatusBadRequest, fmt.Sprintf("query: %q needs exactly one value", key)}
		}
		if err := f.set(key, vs[0]); err != nil {
			return Filter{}, err
		}
	}
	return f, nil
}

func (f *Filter) set(key, value string) error {
	switch key {
	case "service":
		f.Service = value
	case "server":
		f.Server = value
	case "client":
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" {
			return &formatError{http.StatusBadRequest, fmt.Sprintf("query: client %q is not an IP address", value)}
		}
		f.Client = a.Unmap()
	default:
		return &formatError{http.StatusBadRequest, fmt.Sprintf("query: unknown key %q: use service, client, server", key)}
	}
	return nil
}
