package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/devtls"
	"github.com/vosbed/vosbed/internal/minisign"
)

// world is a pair of nodes that a story updates; log is what they were told.
type world struct {
	mu    sync.Mutex
	log   []string
	nodes [2]*machineNode
}

// machineNode is a node that starts from an image.
type machineNode struct {
	w          *world
	name, seat string
	role       string
	version    string
	next       string // installed, waits for a restart
	proven     bool
	away       int // calls that find nobody, -1 = all
	waits      int // looks until it is healthy
	blind      bool
	vip        string // that it serves
	late       bool   // its table is not in sync
	trouble    string // what goes wrong with it
}

// newWorld is a pair that runs 1.0.0; lb1 is active.
func newWorld() *world {
	w := &world{}
	w.nodes[0] = &machineNode{w: w, name: "lb1", seat: "primary", role: active, vip: "10.0.0.110", version: "1.0.0", proven: true}
	w.nodes[1] = &machineNode{w: w, name: "lb2", seat: "secondary", role: passive, vip: "10.0.0.110", version: "1.0.0", proven: true}
	return w
}

func (n *machineNode) peer() *machineNode {
	if n.w.nodes[0] == n {
		return n.w.nodes[1]
	}
	return n.w.nodes[0]
}

// ServeHTTP answers as the node does.
func (n *machineNode) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if n.away != 0 {
		n.away--
		panic(http.ErrAbortHandler)
	}
	call := r.Method + " " + r.URL.Path
	if r.Method != http.MethodGet {
		n.w.log = append(n.w.log, n.name+" "+call[strings.LastIndex(call, "/")+1:])
		if n.trouble == call {
			rw.Header().Set("Content-Type", api.ContentProblem)
			rw.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(rw, `{"status":409,"detail":"it does not want to"}`)
			return
		}
	}
	if out := n.answer(call); out != nil {
		_ = json.NewEncoder(rw).Encode(out)
		return
	}
	rw.WriteHeader(http.StatusNoContent)
}

func (n *machineNode) answer(call string) any {
	switch call {
	case "GET " + api.PathStatus:
		return api.Status{
			Node: n.name, Seat: n.seat, Role: n.role, Pair: api.Pair{PeerAlive: !n.blind, InSync: !n.late},
			Services: []api.Service{{Name: "a", Addr: n.vip}},
		}
	case "GET " + api.PathUpdate:
		return n.installed()
	case "POST " + api.PathUpdate:
		n.next = "1.1.0"
		if n.trouble == "becomes active" {
			n.role, n.peer().role = active, passive
		}
		return n.installed()
	case "POST " + api.PathUpdateRestart:
		n.restart()
	case "POST " + api.PathPair:
		if n.trouble != "is not obeyed" {
			n.role, n.peer().role = active, passive
		}
	}
	return nil
}

func (n *machineNode) restart() {
	n.version, n.next, n.proven, n.away, n.waits = n.next, "", false, 3, 3
	switch n.trouble {
	case "does not come back":
		n.away = -1
	case "is given up":
		n.version, n.proven = "1.0.0", true
	case "stays sick":
		n.waits = -1
	case "does not see its peer":
		n.blind = true
	case "is not in sync":
		n.late = true
	case "is not proven":
		n.waits = 1 << 20
	}
}

func (n *machineNode) installed() api.Update {
	u := api.Update{Version: n.version, Restart: n.next, Healthy: n.waits == 0, Waiting: []string{}, Slots: []api.UpdateSlot{{Slot: "a", Version: n.version, Running: true, Proven: n.proven}}}
	switch {
	case n.waits == 1:
		n.waits, n.proven = 0, true
	case n.waits != 0:
		n.waits--
		u.Waiting = append(u.Waiting, "a/r1 was not checked yet")
	}
	return u
}

// update runs lbctl update pair against the nodes.
func (w *world) update(t *testing.T, more ...string) (code int, out, errs string) {
	t.Helper()
	dir := t.TempDir()
	token, archive := filepath.Join(dir, "token"), filepath.Join(dir, "v.update")
	key, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err = errors.Join(bundle.Write(&b, "1.1.0", []byte("a system"), key), os.WriteFile(archive, b.Bytes(), 0o600), os.WriteFile(token, []byte("t\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	args := []string{"update", "pair", archive, "--interval", "1ms"}
	for i, flag := range []string{"--", "--peer-"} {
		srv := httptest.NewUnstartedServer(w.nodes[i])
		srv.Config.ErrorLog = nil
		srv.StartTLS()
		t.Cleanup(srv.Close)
		args = append(args, flag+"address", srv.Listener.Addr().String(), flag+"token-file", token, flag+"pin", devtls.Pin(srv.Certificate()))
	}
	var stdout, stderr bytes.Buffer
	a := &app{out: &stdout, err: &stderr}
	code = a.run(t.Context(), append(args, more...))
	return code, stdout.String(), stderr.String()
}

// whole is what the nodes are told where nothing is in the way.
func whole() []string {
	return []string{"lb2 update", "lb2 restart", "lb2 pair", "lb1 update", "lb1 restart"}
}

// TestUpdateOfAPair: the passive node first, then the roles change, then the other one;
// what is done is skipped, and at last the primary serves if that was asked for.
func TestUpdateOfAPair(t *testing.T) {
	t.Parallel()
	done := func(n *machineNode) { n.version = "1.1.0" }
	for name, tt := range map[string]struct {
		begin func(w *world)
		more  []string
		told  []string
		ends  string // who is active
	}{
		"both":             {func(*world) {}, nil, whole(), "lb2"},
		"back at last":     {func(*world) {}, []string{"--to-primary"}, append(whole(), "lb1 pair"), "lb1"},
		"passive is done":  {func(w *world) { done(w.nodes[1]) }, nil, []string{"lb2 pair", "lb1 update", "lb1 restart"}, "lb2"},
		"active is done":   {func(w *world) { done(w.nodes[0]) }, nil, []string{"lb2 update", "lb2 restart"}, "lb1"},
		"both are done":    {func(w *world) { done(w.nodes[0]); done(w.nodes[1]) }, nil, nil, "lb1"},
		"passive is sent":  {func(w *world) { w.nodes[1].next = "1.1.0" }, nil, whole()[1:], "lb2"},
		"passive on trial": {func(w *world) { n := w.nodes[1]; done(n); n.proven, n.waits = false, 5 }, nil, whole()[2:], "lb2"},
		"lb2 is active":    {func(w *world) { w.nodes[0].role, w.nodes[1].role = passive, active }, []string{"--to-primary"}, []string{"lb1 update", "lb1 restart", "lb1 pair", "lb2 update", "lb2 restart"}, "lb1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			tt.begin(w)
			code, out, errs := w.update(t, tt.more...)
			if code != exitOK || !slices.Equal(w.log, tt.told) || !strings.Contains(out, "both nodes run version 1.1.0, and "+tt.ends+" is active") {
				t.Errorf("exit %d, told %q, want %q\n%s%s", code, w.log, tt.told, out, errs)
			}
			for _, n := range w.nodes {
				if n.version != "1.1.0" || !n.proven {
					t.Errorf("%s runs %s", n.name, n.version)
				}
			}
		})
	}
}

// TestUpdateOfAPairStops at each place where something can fail: the node that serves is
// told nothing while the passive one is not proven, and the message says what is.
func TestUpdateOfAPairStops(t *testing.T) {
	t.Parallel()
	const install, restart, pair = "POST " + api.PathUpdate, "POST " + api.PathUpdateRestart, "POST " + api.PathPair
	second := func(trouble string) func(*world) { return func(w *world) { w.nodes[1].trouble = trouble } }
	first := func(trouble string) func(*world) { return func(w *world) { w.nodes[0].trouble = trouble } }
	spared := "lb1 was the active node and was left as it is"
	for name, tt := range map[string]struct {
		begin func(*world)
		told  []string
		code  int
		want  []string
	}{
		"unreachable":        {func(w *world) { w.nodes[1].away = -1 }, nil, exitNoReply, []string{"both nodes must answer, nothing was changed"}},
		"active unreachable": {func(w *world) { w.nodes[0].away = -1 }, nil, exitNoReply, []string{"nothing was changed"}},
		"one node twice":     {func(w *world) { w.nodes[1].name = "lb1" }, nil, exitUsage, []string{"are the same node"}},
		"two primaries":      {func(w *world) { w.nodes[1].seat = "primary" }, nil, exitUsage, []string{"lb1 and lb2 are not the two nodes of one pair, nothing was changed"}},
		"of another pair":    {func(w *world) { w.nodes[1].vip = "10.0.0.120" }, nil, exitUsage, []string{"are not the two nodes of one pair", "their virtual addresses [10.0.0.110] and [10.0.0.120]"}},
		"no pair":            {func(w *world) { w.nodes[0].role, w.nodes[1].role = "standalone", "standalone" }, nil, exitFailed, []string{"lb1 is standalone", "nothing was changed"}},
		"not in sync":        {func(w *world) { w.nodes[1].late = true }, nil, exitFailed, []string{"the persistence table of lb2 is not in sync", "nothing was changed"}},
		"no link":            {func(w *world) { w.nodes[0].blind = true }, nil, exitFailed, []string{"lb1 does not see its peer"}},
		"refused":            {second(install), whole()[:1], exitFailed, []string{"lb2 does not take the update", "it does not want to", spared}},
		"roles change":       {second("becomes active"), whole()[:1], exitFailed, []string{"lb2 is not restarted: lb1 is passive"}},
		"no restart":         {second(restart), whole()[:2], exitFailed, []string{"lb2 does not restart", spared}},
		"does not come back": {second("does not come back"), whole()[:2], exitFailed, []string{"it does not answer", spared}},
		"given up":           {second("is given up"), whole()[:2], exitFailed, []string{"lb2 runs version 1.0.0: version 1.1.0 did not come up healthy and was given up", spared}},
		"sick":               {second("stays sick"), whole()[:2], exitFailed, []string{"a/r1 was not checked yet", spared}},
		"not proven":         {second("is not proven"), whole()[:2], exitFailed, []string{"lb2 had", spared}},
		"blind":              {second("does not see its peer"), whole()[:2], exitFailed, []string{"lb2 does not see its peer", spared}},
		"late":               {second("is not in sync"), whole()[:2], exitFailed, []string{"the persistence table of lb2 is not in sync", spared}},
		"no takeover":        {second(pair), whole()[:3], exitFailed, []string{"lb2 does not take the virtual addresses: it does not want to"}},
		"roles stay":         {second("is not obeyed"), whole()[:3], exitFailed, []string{"lb2 does not take the virtual addresses", "lb1 is active"}},
		"the other refuses":  {first(install), whole()[:4], exitFailed, []string{"lb1 does not take the update", "lb2 was the active node"}},
		"the other gives up": {first("is given up"), whole(), exitFailed, []string{"lb1 runs version 1.0.0", "lb2 was the active node"}},
		"the other is gone":  {first("does not come back"), whole(), exitFailed, []string{"it does not answer", "lb2 was the active node"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			tt.begin(w)
			// Long enough for a busy machine to do what succeeds; those that are to run out wait side by side.
			code, out, errs := w.update(t, "--within", "3s")
			if code != tt.code || !slices.Equal(w.log, tt.told) {
				t.Errorf("exit %d, want %d; told %q, want %q\n%s%s", code, tt.code, w.log, tt.told, out, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in: %s", want, errs)
				}
			}
		})
	}
}

// TestUpdateOfAPairGoesOn: after a failure the same command does the rest.
func TestUpdateOfAPairGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.nodes[0].trouble = "POST " + api.PathUpdate
	if code, _, _ := w.update(t); code != exitFailed {
		t.Fatalf("exit %d", code)
	}
	w.nodes[0].trouble, w.log = "", nil
	code, out, errs := w.update(t, "--json")
	if code != exitOK || !slices.Equal(w.log, whole()[3:]) {
		t.Errorf("exit %d, told %q\n%s%s", code, w.log, out, errs)
	}
	var last rolloutStep
	for line := range strings.Lines(out) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	if last.Step != "done" {
		t.Errorf("the last step is %+v", last)
	}
}
