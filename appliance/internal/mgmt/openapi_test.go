package mgmt

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/vosbed/vosbed/appliance/api"
)

var updateOpenAPI = flag.Bool("update-openapi", false, "write appliance/api/openapi.yaml anew")

// exchange is what a call sends and gets; nil = nothing. A string is text of that type.
type exchange struct {
	in, out any
	query   []string
	also    string // the same as text of this type
}

// exchanges has one row for every route: the test fails for one that is missing.
func exchanges() map[string]exchange {
	return map[string]exchange{
		"GET " + api.PathHealthz:              {out: map[string]string{}},
		"GET " + api.PathStatus:               {out: api.Status{}, query: []string{"history"}},
		"GET " + api.PathOpenAPI:              {out: "application/yaml"},
		"GET " + api.PathSystem:               {out: api.System{}},
		"POST " + api.PathClock:               {in: api.NewClock{}, out: api.ClockSet{}},
		"GET " + api.PathStats:                {out: api.Stats{}, query: []string{"range"}},
		"GET " + api.PathLogs:                 {out: []api.LogLine{}, query: []string{"level"}},
		"GET " + api.PathLogStream:            {out: api.ContentStream, query: []string{"level", "text", "after"}},
		"GET " + api.PathEvents:               {out: api.ContentStream, query: []string{"after"}},
		"GET " + api.PathReports:              {out: []api.ReportName{}},
		"GET " + api.PathReport:               {out: api.Report{}, query: []string{"format", "range"}, also: "text/csv"},
		"GET " + api.PathMetrics:              {out: "text/plain"},
		"PUT " + api.PathServer:               {in: api.ServerState{}},
		"GET " + api.PathPersistence:          {out: []api.Entry{}, query: []string{"service", "client", "server"}},
		"DELETE " + api.PathPersistence:       {out: api.Cleared{}, query: []string{"service", "client", "server"}},
		"POST " + api.PathPair:                {in: api.PairCommand{}},
		"POST " + api.PathReload:              {},
		"POST " + api.PathToken:               {out: api.Token{}},
		"GET " + api.PathTokens:               {out: []api.TokenInfo{}},
		"POST " + api.PathTokens:              {in: api.NewTokenOf{}, out: api.Token{}},
		"DELETE " + api.PathTokenOf:           {},
		"GET " + api.PathConfig:               {out: "application/yaml"},
		"GET " + api.PathDraft:                {out: api.Draft{}},
		"PUT " + api.PathDraft:                {in: "application/yaml"},
		"DELETE " + api.PathDraft:             {},
		"GET " + api.PathDraftServices:        {out: []api.ServiceDraft{}},
		"POST " + api.PathDraftServices:       {in: api.Fields{}},
		"GET " + api.PathDraftService:         {out: api.ServiceDraft{}},
		"PUT " + api.PathDraftService:         {in: api.Fields{}},
		"DELETE " + api.PathDraftService:      {},
		"POST " + api.PathDraftServers:        {in: api.Fields{}},
		"GET " + api.PathDraftServer:          {out: api.ServerDraft{}},
		"PUT " + api.PathDraftServer:          {in: api.Fields{}},
		"DELETE " + api.PathDraftServer:       {},
		"GET " + api.PathDraftPart:            {out: api.PartDraft{}},
		"PUT " + api.PathDraftPart:            {in: api.Fields{}},
		"POST " + api.PathApply:               {in: api.Apply{}},
		"POST " + api.PathKeep:                {},
		"POST " + api.PathUndo:                {},
		"GET " + api.PathHistory:              {out: []api.Revision{}},
		"GET " + api.PathRevision:             {out: "application/yaml"},
		"POST " + api.PathRevision:            {},
		"POST " + api.PathSession:             {in: api.Login{}, out: api.LoggedIn{}},
		"GET " + api.PathSession:              {out: api.Session{}},
		"DELETE " + api.PathSession:           {},
		"POST " + api.PathConfirm:             {in: api.Reauth{}},
		"GET " + api.PathSessions:             {out: []api.Session{}},
		"GET " + api.PathAuth:                 {out: api.AuthState{}},
		"PUT " + api.PathAuthSecret:           {in: api.AuthSecret{}},
		"POST " + api.PathAuthTest:            {in: api.Login{}, out: api.AuthTested{}},
		"DELETE " + api.PathRevoke:            {},
		"GET " + api.PathAccounts:             {out: []api.Account{}},
		"PUT " + api.PathAccount:              {in: api.NewAccount{}},
		"DELETE " + api.PathAccount:           {},
		"PUT " + api.PathPassword:             {in: api.NewPassword{}},
		"GET " + api.PathAudit:                {out: []api.AuditEntry{}},
		"POST " + api.PathPairPeer:            {in: api.PeerQuestion{}, out: api.PeerReport{}},
		"POST " + api.PathPairCreate:          {in: api.PairCreate{}},
		"POST " + api.PathPairJoin:            {in: api.PairJoin{}, out: api.PairJoined{}},
		"POST " + api.PathPairBreak:           {},
		"GET " + api.PathBackup:               {out: "application/gzip"},
		"POST " + api.PathBackup:              {in: api.BackupSeal{}, out: "application/gzip"},
		"POST " + api.PathRestore:             {in: api.Restore{}, out: api.Restored{}},
		"GET " + api.PathUpdate:               {out: api.Update{}},
		"POST " + api.PathUpdate:              {in: map[string]string{api.UpdateArchive: "binary", api.UpdateChecksum: "binary", api.UpdateOlder: "string"}, out: api.Update{}},
		"GET " + api.PathUpdateOnline:         {out: api.OnlineUpdate{}},
		"POST " + api.PathUpdateOnline:        {out: api.OnlineUpdate{}},
		"POST " + api.PathUpdateOnlineInstall: {in: api.OnlineInstall{}, out: api.Update{}},
		"POST " + api.PathUpdateRestart:       {},
		"POST " + api.PathUpdateBack:          {out: api.UpdateBack{}},
		"GET " + api.PathSupportChecks:        {out: api.SupportChecks{}},
		"GET " + api.PathSupportArchive:       {out: "application/gzip"},
		"GET " + api.PathCertificate:          {out: api.Certificate{}},
		"PUT " + api.PathCertificate:          {in: api.NewCertificate{}, out: api.Certificate{}},
		"DELETE " + api.PathCertificate:       {out: api.Certificate{}},
		"GET " + api.PathFallback:             {out: api.FallbackPage{}},
		"PUT " + api.PathFallback:             {in: api.NewFallbackPage{}},
		"DELETE " + api.PathFallback:          {},
	}
}

// TestOpenAPI holds the description of the API against the router and the wire types.
func TestOpenAPI(t *testing.T) {
	const path = "../../api/openapi.yaml"
	s := newServer(t, &fake{status: sample()})
	doc := newDescription()
	table := exchanges()
	for _, r := range s.routes() {
		key := r.method + " " + r.path
		x, ok := table[key]
		if !ok {
			t.Errorf("%s is not described: add it to exchanges", key)
		}
		delete(table, key)
		doc.add(r, x)
	}
	for key := range table {
		t.Errorf("%s is described and not served", key)
	}
	got, err := doc.yaml()
	if err != nil {
		t.Fatal(err)
	}
	if *updateOpenAPI {
		if err = os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("openapi.yaml is not what is served (go test ./appliance/internal/mgmt -run OpenAPI -update-openapi):\n%s", diff)
	}
}

// description is an OpenAPI 3.1 document under construction.
type description struct {
	paths, schemas map[string]any
}

func newDescription() *description { return &description{map[string]any{}, map[string]any{}} }

func (d *description) add(r route, x exchange) {
	op := map[string]any{"summary": summary(r), "responses": d.responses(x)}
	if !r.open {
		op["security"] = []any{map[string]any{"bearer": []any{}}}
		op["description"] = "Needs the role " + r.least.String() + "."
		if r.sensitive {
			op["description"] = fmt.Sprintf("Needs the role %s, and the password given within the last minutes (%s).", r.least, api.PathConfirm)
		}
	}
	if params := parameters(r, x); len(params) > 0 {
		op["parameters"] = params
	}
	if kind, text := x.in.(string); text {
		op["requestBody"] = map[string]any{"required": true, "content": map[string]any{kind: map[string]any{"schema": map[string]any{"type": "string"}}}}
	} else if parts, multi := x.in.(map[string]string); multi {
		op["requestBody"] = map[string]any{"required": true, "content": map[string]any{"multipart/form-data": map[string]any{"schema": formSchema(parts)}}}
	} else if x.in != nil {
		op["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/json": map[string]any{"schema": d.schema(reflect.TypeOf(x.in))}}}
	}
	at, ok := d.paths[r.path].(map[string]any)
	if !ok {
		at = map[string]any{}
		d.paths[r.path] = at
	}
	at[strings.ToLower(r.method)] = op
}

// formSchema describes a form with files.
func formSchema(parts map[string]string) map[string]any {
	properties := map[string]any{}
	for name, kind := range parts {
		one := map[string]any{"type": "string"}
		if kind == "binary" {
			one["format"] = kind
		}
		properties[name] = one
	}
	return map[string]any{"type": "object", "properties": properties, "required": []string{api.UpdateArchive}}
}

func summary(r route) string {
	if r.action != "" {
		return strings.ToUpper(r.action[:1]) + r.action[1:]
	}
	return "Read " + strings.TrimPrefix(r.path, "/api/v1/")
}

func parameters(r route, x exchange) []any {
	var out []any
	for part := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, map[string]any{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
		}
	}
	for _, name := range x.query {
		out = append(out, map[string]any{"name": name, "in": "query", "schema": map[string]any{"type": "string"}})
	}
	if strings.HasPrefix(r.path, api.PathDraft) && r.method != http.MethodGet || r.path == api.PathRevision && r.method == http.MethodPost || r.path == api.PathRestore {
		out = append(out, map[string]any{"name": "If-Match", "in": "header", "description": "tag of the draft that was seen; without it whatever it is", "schema": map[string]any{"type": "string"}})
	}
	return out
}

func (d *description) responses(x exchange) map[string]any {
	problem := map[string]any{"description": "a problem (RFC 9457)", "content": map[string]any{api.ContentProblem: map[string]any{"schema": d.schema(reflect.TypeFor[api.Problem]())}}}
	out := map[string]any{"default": problem}
	switch body := x.out.(type) {
	case nil:
		out[strconv.Itoa(http.StatusNoContent)] = map[string]any{"description": "done"}
	case string:
		out["200"] = map[string]any{"description": "text", "content": map[string]any{body: map[string]any{"schema": map[string]any{"type": "string"}}}}
	default:
		content := map[string]any{"application/json": map[string]any{"schema": d.schema(reflect.TypeOf(body))}}
		if x.also != "" {
			content[x.also] = map[string]any{"schema": map[string]any{"type": "string"}}
		}
		out["200"] = map[string]any{"description": "the answer", "content": content}
	}
	return out
}

// schema describes a wire type; structs are named and described once.
func (d *description) schema(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return d.schema(t.Elem())
	case t.Kind() == reflect.Struct:
		d.object(t)
		return map[string]any{"$ref": "#/components/schemas/" + t.Name()}
	case t == reflect.TypeFor[[]byte]():
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": d.schema(t.Elem())}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case t.Kind() == reflect.Interface:
		return map[string]any{"description": "text, a number, or null"}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr:
		return map[string]any{"type": "integer"}
	case t.Kind() == reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": "string"}
}

func (d *description) object(t reflect.Type) {
	if d.schemas[t.Name()] != nil {
		return
	}
	properties := map[string]any{}
	one := map[string]any{"type": "object", "properties": properties}
	d.schemas[t.Name()] = one
	var required []string
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = d.schema(f.Type)
		if !strings.Contains(options, "omitempty") {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	if len(required) > 0 {
		one["required"] = required
	}
}

func (d *description) yaml() ([]byte, error) {
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "vosbed management API", "version": "1",
			"description": "The API of one appliance, at port 9443 (guide 9.5) and on a unix socket. The WebUI and lbctl use nothing else.",
			"license":     map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"paths": d.paths,
		"components": map[string]any{
			"schemas":         d.schemas,
			"securitySchemes": map[string]any{"bearer": map[string]any{"type": "http", "scheme": "bearer", "description": "the token of a session (POST " + api.PathSession + ") or the API token (lbctl token)"}},
		},
	}
	var b bytes.Buffer
	b.WriteString("# Made by a test of appliance/internal/mgmt from the router and the wire types.\n")
	e, err := yaml.NewDumper(&b, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, err
	}
	if err := e.Dump(doc); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}
