package appliance_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// unpack returns the files of a .tar.gz by their names.
func unpack(t *testing.T, data []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}

// plant fills every secret place of a node that runs, and returns what must stay there.
func (n *node) plant() map[string]string {
	n.t.Helper()
	ctx := n.t.Context()
	n.must(n.client.SetAccount(ctx, "anna", api.NewAccount{Role: api.RoleAdmin, Password: goodPassword}))
	token, err := n.client.NewToken(ctx)
	n.must(err)
	session, err := n.client.Login(ctx, "anna", goodPassword)
	n.must(err)
	named, err := n.client.CreateToken(ctx, api.NewTokenOf{Name: "grafana", Role: api.RoleAuditor})
	n.must(err)
	chain, key, _ := certify(n.t, "192.168.94.101", time.Now().Add(time.Hour))
	_, err = n.client.SetCertificate(ctx, api.NewCertificate{Chain: chain, Key: key})
	n.must(err)
	uploaded, _ := pem.Decode([]byte(key))
	out := map[string]string{
		"password": goodPassword, "token": token.Token, "session": session.Token, "named token": named.Token,
		"uploaded key": string(uploaded.Bytes), "line of the uploaded key": strings.Split(key, "\n")[2],
	}
	for name, file := range map[string]string{"pairing secret": n.secret(), "token hash": "state/token", "accounts": "state/accounts.json", "certificate": "state/management.pem"} {
		if !filepath.IsAbs(file) {
			file = filepath.Join(n.dir, file)
		}
		data, err := os.ReadFile(file)
		n.must(err)
		out[name] = strings.TrimSpace(string(data))
	}
	_, hash, _ := strings.Cut(out["accounts"], "$argon2id$")
	hash, _, _ = strings.Cut(hash, `"`)
	out["hash"] = hash
	out["key of the hash"] = hash[strings.LastIndex(hash, "$")+1:]
	block, _ := pem.Decode([]byte(out["certificate"]))
	out["TLS key"] = string(block.Bytes)
	out["line of the TLS key"] = strings.Split(out["certificate"], "\n")[1]
	delete(out, "accounts")
	delete(out, "certificate")
	return out
}

// TestSupportArchiveHasNoSecret plants a secret in every place that has one, and searches
// the archive for each in all its forms.
func TestSupportArchiveHasNoSecret(t *testing.T) {
	n, _ := newPairOfNodes(t)
	n.withWeb()
	n.must(os.WriteFile(n.secret(), []byte("the secret of this pair: sesame, open up 4711"), 0o600))
	n.start()
	until(t, "up", func() bool { return n.status().Node == "lb1" })
	secrets := n.plant()
	n.must(n.client.AddService(t.Context(), "", api.Fields{"name": "pending", "address": "192.168.94.111", "ports": "61000", "check.type": "on"}))
	var packed bytes.Buffer
	n.must(n.client.SupportArchive(t.Context(), &packed))
	files := unpack(t, packed.Bytes())
	searchSecrets(t, files, secrets)

	var manifest struct {
		Files   []struct{ Name string }
		Missing []struct{ Name, Why string }
	}
	n.must(json.Unmarshal([]byte(files["vosbed-support/manifest.json"]), &manifest))
	var missing []string
	for _, m := range manifest.Missing {
		missing = append(missing, m.Name)
	}
	if !slices.Equal(missing, []string{"network/pinned-state.txt"}) || len(manifest.Files) != len(files)-1 {
		t.Errorf("missing %+v, %d files of %d", manifest.Missing, len(manifest.Files), len(files))
	}
	for name, want := range map[string]string{
		"status.json": "HT1", "checks.json": "Real-time", "configuration/running.yaml": "192.168.94.110", "configuration/pending.yaml": "192.168.94.111",
		"plan.txt": "Plan of lb1", "log.txt": "pair decision", "audit.json": "log in", "metrics.txt": "vosbed_build_info", "network/interfaces.txt": "192.168.94.101/24",
		"network/routes.txt": "192.168.94.0/24", "machine/sysctl.txt": "net.ipv4.ip_local_port_range", "goroutines.txt": "goroutine",
		"certificates/management.pem.txt": "BEGIN CERTIFICATE", "machine/kernel.txt": "Linux",
	} {
		if !strings.Contains(files["vosbed-support/"+name], want) {
			t.Errorf("%s has no %q: %.300s", name, want, files["vosbed-support/"+name])
		}
	}
	trail, err := n.client.Audit(t.Context())
	n.must(err)
	if trail[0].Action != "create a support download" || trail[0].Outcome != "done" {
		t.Errorf("the trail ends with %+v", trail[0])
	}
}

// withWeb writes the file of a node of a pair whose WebUI is on.
func (n *node) withWeb() {
	n.t.Helper()
	n.write(slowTimers)
	path := filepath.Join(n.dir, "config.yaml")
	file, err := os.ReadFile(path)
	n.must(err)
	file = bytes.Replace(file, []byte("role:"), fmt.Appendf(nil, "management: [\"192.168.94.10%d:9443\"]\n  role:", n.number), 1)
	n.must(os.WriteFile(path, file, 0o600))
}

func searchSecrets(t *testing.T, files, secrets map[string]string) {
	t.Helper()
	for what, secret := range secrets {
		if len(secret) < 12 {
			t.Fatalf("the planted %s is too short to be searched for: %q", what, secret)
		}
		hexed := hex.EncodeToString([]byte(secret))
		forms := []string{
			secret, hexed, strings.ToUpper(hexed), base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
			strings.ReplaceAll(secret, "\n", `\n`),
		}
		for name, text := range files {
			for i, form := range forms {
				if strings.Contains(text, form) {
					t.Errorf("%s holds the %s (form %d)", name, what, i)
				}
			}
		}
	}
}

// TestSupportChecks: the tree of a node that is really there.
func TestSupportChecks(t *testing.T) {
	n, _ := newPairOfNodes(t)
	n.must(os.WriteFile(n.secret(), bytes.Repeat([]byte("k"), 40), 0o600))
	n.start()
	until(t, "up", func() bool { return n.status().Node == "lb1" && len(n.status().Pair.Paths) == 1 })
	tree, err := n.client.SupportChecks(t.Context())
	n.must(err)
	got := map[string]string{}
	for _, g := range tree.Groups {
		for _, c := range g.Checks {
			got[c.Name] = c.Verdict
		}
	}
	for name, want := range map[string]string{
		"Interface of 192.168.94.110": api.CheckOK, "Link to the peer": api.CheckFailed, "Heartbeat path svc": api.CheckFailed, "Accounts": api.CheckWarning,
		"Permissions of " + n.secret(): api.CheckOK, "Audit trail": api.CheckOK, "History of the configuration": api.CheckOK, "Local port range": "",
	} {
		if verdict, there := got[name]; !there || want != "" && verdict != want {
			t.Errorf("%s: %q, want %q", name, verdict, want)
		}
	}
	if tree.Verdict != api.CheckFailed {
		t.Errorf("the tree is %s: %+v", tree.Verdict, tree)
	}
}

// TestSupportChecksOfAPair: the peer is heard and in sync, and its clock is asked for.
func TestSupportChecksOfAPair(t *testing.T) {
	a, b := newPairOfNodes(t)
	for _, n := range []*node{a, b} {
		n.withWeb()
		n.start()
	}
	until(t, "in sync", func() bool {
		return a.status().Pair.InSync && b.status().Pair.InSync && (a.status().Role == "active") != (b.status().Role == "active")
	})
	var got []string
	until(t, "the clock is known", func() bool {
		tree, err := a.client.SupportChecks(t.Context())
		a.must(err)
		got = nil
		for _, c := range tree.Groups[3].Checks {
			got = append(got, c.Name+" "+c.Verdict)
		}
		return slices.Contains(got, "Clock of the peer ok") && slices.Contains(got, "Link to the peer ok")
	})
	for _, want := range []string{"Link to the peer ok", "Heartbeat path svc ok", "Replication of persistence ok", "Lease ok"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
