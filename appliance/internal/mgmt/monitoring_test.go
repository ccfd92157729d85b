package mgmt

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"github.com/vosbed/vosbed/appliance/lb"
)

const monitoring = "../../../docs/monitoring/"

// exposed is what /metrics says of a node where every metric has a value.
func exposed(t *testing.T) []byte {
	t.Helper()
	st := sample()
	st.CertificateEnd = epoch.Add(time.Hour)
	seven := st.Services[0]
	seven.Name, seven.Layer, seven.Method = "Harmonic_Management", lb.Layer7, lb.Proxy
	st.Services = append(st.Services, seven)
	text, err := MetricsText(t.Context(), &fake{status: st})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestMetricNames: names, units, types and help are as Prometheus' own linter wants them.
func TestMetricNames(t *testing.T) {
	problems, err := promlint.New(bytes.NewReader(exposed(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if problems, err = promlint.New(strings.NewReader("# TYPE x_millis_total gauge\nx_millis_total 1\n")).Lint(); err != nil || len(problems) == 0 {
		t.Errorf("the linter finds nothing wrong with a bad name: %v", err)
	}
}

// metricsThere are the metrics of a node with their labels, and those that Prometheus adds.
func metricsThere(t *testing.T) map[string]map[string]bool {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(exposed(t)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{"up": {"job": true, "instance": true}}
	for name, f := range families {
		labels := map[string]bool{"job": true, "instance": true}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		out[name] = labels
	}
	return out
}

var (
	quoted   = regexp.MustCompile(`"[^"]*"`)
	window   = regexp.MustCompile(`\[[^\]]*\]`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	selector = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\s*(\{[^}]*\}|\(|)`)
	label    = regexp.MustCompile(`[a-zA-Z_]\w*`)
)

// inQuery checks the metrics, labels and functions of a query against those there are.
func inQuery(query string, there map[string]map[string]bool) (wrong []string) {
	functions := []string{"sum", "min", "max", "rate", "increase", "time", "absent"}
	all := map[string]bool{}
	for _, labels := range there {
		maps.Copy(all, labels)
	}
	q := window.ReplaceAllString(quoted.ReplaceAllString(query, ""), "")
	for _, g := range grouping.FindAllStringSubmatch(q, -1) {
		for _, l := range label.FindAllString(g[1], -1) {
			if !all[l] {
				wrong = append(wrong, "label "+l)
			}
		}
	}
	for _, m := range selector.FindAllStringSubmatch(grouping.ReplaceAllString(q, " "), -1) {
		name, rest := m[1], m[2]
		switch {
		case slices.Contains([]string{"and", "or", "unless", "bool"}, name):
		case rest == "(":
			if !slices.Contains(functions, name) {
				wrong = append(wrong, "function "+name)
			}
		case there[name] == nil:
			wrong = append(wrong, "metric "+name)
		default:
			for _, l := range label.FindAllString(rest, -1) {
				if !there[name][l] {
					wrong = append(wrong, "label "+l+" of "+name)
				}
			}
		}
	}
	return wrong
}

// TestInQuery: the checks below would see a slip of the pen.
func TestInQuery(t *testing.T) {
	there := map[string]map[string]bool{"a_total": {"x": true}, "b": {"y": true}}
	for query, want := range map[string]string{
		`sum by (x) (rate(a_total{x=~"$v|b_x"}[5m])) / on (y) b > 0.9 * 86400`: "",
		`a_totl`: "metric a_totl", `rate(a_total{y="1"}[5m])`: "label y of a_total", `sum by (z) (b)`: "label z", `rates(b) or b`: "function rates",
		`b and on (x) (c{x="1"} == 1)`: "metric c",
	} {
		if got := strings.Join(inQuery(query, there), ", "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// dashboard is what the test knows of Grafana's model of one.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Query                  any
		}
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ Type, UID string }
	Targets     []struct{ RefID, Expr, LegendFormat string }
	FieldConfig struct{ Defaults struct{ Unit string } }
}

// TestDashboard: Grafana can import the file, and each query asks for what there is.
func TestDashboard(t *testing.T) {
	data, err := os.ReadFile(monitoring + "grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err = json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || len(d.UID) > 40 || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) < 20 {
		t.Errorf("uid %q, title %q, schema %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	there := metricsThere(t)
	variables := map[string]bool{"__rate_interval": true}
	values := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if v.Type != "query" {
			continue
		}
		m := values.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("variable %s: %s", v.Name, v.Definition)
			continue
		}
		if wrong := inQuery("sum by ("+m[2]+") ("+m[1]+")", there); len(wrong) > 0 {
			t.Errorf("variable %s: there is no %v", v.Name, wrong)
		}
	}
	used := regexp.MustCompile(`\$\{?(\w+)\}?`)
	for _, m := range used.FindAllStringSubmatch(string(data), -1) {
		if !variables[m[1]] {
			t.Errorf("there is no variable %s", m[1])
		}
	}
	ids, cells := map[int]string{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] != "" || p.ID == 0 {
			t.Errorf("%s has the id %d of %s", p.Title, p.ID, ids[p.ID])
		}
		ids[p.ID] = p.Title
		p.placed(t, cells)
		p.asks(t, there)
	}
}

// placed fails the test if a panel leaves the 24 columns or lies over another one.
func (p panel) placed(t *testing.T, cells map[[2]int]string) {
	t.Helper()
	at := p.GridPos
	if at.X < 0 || at.Y < 0 || at.W < 1 || at.H < 1 || at.X+at.W > 24 {
		t.Errorf("%s is at %+v", p.Title, at)
	}
	for x := at.X; x < at.X+at.W; x++ {
		for y := at.Y; y < at.Y+at.H; y++ {
			if other := cells[[2]int{x, y}]; other != "" {
				t.Errorf("%s lies over %s", p.Title, other)
				return
			}
			cells[[2]int{x, y}] = p.Title
		}
	}
}

// asks fails the test if a panel asks for what is not there, or for nothing.
func (p panel) asks(t *testing.T, there map[string]map[string]bool) {
	t.Helper()
	if p.Title == "" || !slices.Contains([]string{"row", "stat", "timeseries", "state-timeline"}, p.Type) {
		t.Errorf("panel %d is a %q called %q", p.ID, p.Type, p.Title)
	}
	if p.Type == "row" {
		return
	}
	if len(p.Targets) == 0 || p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" || p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: %+v", p.Title, p)
	}
	refs := map[string]bool{}
	for _, q := range p.Targets {
		if q.RefID == "" || refs[q.RefID] || q.LegendFormat == "" {
			t.Errorf("%s: the query %q of %q, legend %q", p.Title, q.RefID, q.Expr, q.LegendFormat)
		}
		refs[q.RefID] = true
		if wrong := inQuery(q.Expr, there); len(wrong) > 0 || q.Expr == "" {
			t.Errorf("%s: %s: there is no %v", p.Title, q.Expr, wrong)
		}
	}
}

// TestAlerts: each rule asks for what there is, and says what it means.
func TestAlerts(t *testing.T) {
	data, err := os.ReadFile(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err = yaml.Load(data, &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	there, seen := metricsThere(t), map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if wrong := inQuery(r.Expr, there); len(wrong) > 0 || r.Expr == "" {
				t.Errorf("%s: %s: there is no %v", r.Alert, r.Expr, wrong)
			}
			if seen[r.Alert] || r.Annotations["summary"] == "" || !slices.Contains([]string{"info", "warning", "critical"}, r.Labels["severity"]) {
				t.Errorf("%q: twice, or without summary or severity: %v %v", r.Alert, r.Annotations, r.Labels)
			}
			seen[r.Alert] = true
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d rules", len(seen))
	}
}
