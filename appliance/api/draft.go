package api

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Paths of the pending configuration. Every change of it carries the tag of the draft
// that the person saw in If-Match ("" = whatever it is), and is answered with 409 if
// somebody else changed it since.
const (
	PathDraft         = "/api/v1/draft"                                     // GET, PUT (a whole file, YAML), DELETE (discard)
	PathDraftServices = "/api/v1/draft/services"                            // GET, POST Fields
	PathDraftService  = "/api/v1/draft/services/{service}"                  // GET, PUT Fields, DELETE
	PathDraftServers  = "/api/v1/draft/services/{service}/servers"          // POST Fields
	PathDraftServer   = "/api/v1/draft/services/{service}/servers/{server}" // GET, PUT Fields, DELETE
	PathDraftPart     = "/api/v1/draft/parts/{part}"                        // GET, PUT Fields; part is node or cluster
	PathApply         = "/api/v1/draft/apply"                               // POST Apply
	PathKeep          = "/api/v1/draft/keep"                                // POST: confirm what was applied on trial
	PathUndo          = "/api/v1/draft/undo"                                // POST: go back now
	PathHistory       = "/api/v1/history"                                   // GET
	PathRevision      = "/api/v1/history/{number}"                          // GET (YAML), POST: into the draft
)

// Fields are settings as text, by the keys of the configuration file below the part
// that they belong to: "check.port". "" leaves a key out, and its default holds.
type Fields map[string]string

// Draft is what was changed and is not in force yet.
type Draft struct {
	Tag      string    `json:"tag"`
	Base     string    `json:"base_revision"` // of the configuration in force that it began with
	Changes  []Change  `json:"changes"`
	Mistakes []Mistake `json:"mistakes"` // what keeps it from taking effect
	// Stale says that another configuration came into force meanwhile.
	Stale bool `json:"stale"`
	// Overtaken tells of changes made here while the nodes of the pair could not reach
	// each other, which the peer's overtook; to apply or to discard ends that.
	Overtaken string `json:"overtaken,omitempty"`
	Impact    Impact `json:"impact"`
	// Trial is set while a configuration is in force that goes back by itself unless
	// it is kept.
	Trial *Trial `json:"trial,omitempty"`
	// TrialOnly says that the changes could cut this node off, so they are only applied
	// on trial.
	TrialOnly bool `json:"trial_only,omitempty"`
}

// Change is one difference to the configuration in force, in words.
type Change struct {
	Text   string    `json:"text"` // "VIP Harmonic_Traffic: check port 1935 → 8443"
	Path   string    `json:"path"`
	Before string    `json:"before,omitempty"`
	After  string    `json:"after,omitempty"`
	Author string    `json:"author"`
	At     time.Time `json:"at"`
}

// Mistake is one thing that is wrong with a configuration.
type Mistake struct {
	Path    string `json:"path"` // services[0].check.port
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Impact is what applying the draft costs.
type Impact struct {
	Sessions uint64 `json:"sessions"` // present in all
	Affected uint64 `json:"affected"` // of them
}

// Apply puts the draft in force. With Within, a Go duration, it goes back by itself
// after that time unless it is kept.
type Apply struct {
	Within string `json:"within,omitempty"`
}

// Trial is a configuration that goes back by itself.
type Trial struct {
	Until  time.Time `json:"until"`
	Author string    `json:"author"`
}

// ServiceDraft is one virtual service of the draft as a form shows it.
type ServiceDraft struct {
	Tag    string `json:"tag"`
	Fields Fields `json:"fields"`
	// CheckURL is where the check goes, as resolved, for the first real server or a
	// placeholder.
	CheckURL string        `json:"check_url,omitempty"`
	Servers  []ServerDraft `json:"servers"`
}

// ServerDraft is one real server of the draft.
type ServerDraft struct {
	Tag    string `json:"tag,omitempty"`
	Fields Fields `json:"fields"`
}

// PartDraft is the node's or the cluster's part of the draft.
type PartDraft struct {
	Tag    string `json:"tag"`
	Fields Fields `json:"fields"`
}

// Revision is one configuration that was in force.
type Revision struct {
	Number   int       `json:"number"`
	Revision string    `json:"revision"`
	At       time.Time `json:"at"`
	Current  bool      `json:"current"`
	// Changes are the differences to the one before it.
	Changes []Change `json:"changes"`
}

// Draft returns the pending changes.
func (c *Client) Draft(ctx context.Context) (Draft, error) {
	var out Draft
	err := c.get(ctx, PathDraft, &out)
	return out, err
}

// Discard drops the pending changes.
func (c *Client) Discard(ctx context.Context, tag string) error {
	return c.edit(ctx, tag, http.MethodDelete, PathDraft, nil)
}

// Restore makes the draft equal to a configuration file (YAML). Of a file of another node
// the node's own part is left out. The ProblemError lists every mistake in the file.
func (c *Client) Restore(ctx context.Context, tag string, yaml []byte) error {
	return c.edit(ctx, tag, http.MethodPut, PathDraft, text(yaml))
}

// Apply puts the pending changes in force, on trial if within is not "".
func (c *Client) Apply(ctx context.Context, tag, within string) error {
	return c.edit(ctx, tag, http.MethodPost, PathApply, Apply{within})
}

// Keep confirms a configuration on trial.
func (c *Client) Keep(ctx context.Context) error {
	return c.act(ctx, http.MethodPost, PathKeep, nil, nil)
}

// Undo goes back to the configuration before the one on trial.
func (c *Client) Undo(ctx context.Context) error {
	return c.act(ctx, http.MethodPost, PathUndo, nil, nil)
}

// DraftServices lists the virtual services of the draft.
func (c *Client) DraftServices(ctx context.Context) ([]ServiceDraft, error) {
	var out []ServiceDraft
	err := c.get(ctx, PathDraftServices, &out)
	return out, err
}

// DraftService returns one of them.
func (c *Client) DraftService(ctx context.Context, name string) (ServiceDraft, error) {
	var out ServiceDraft
	err := c.get(ctx, draftPath(PathDraftService, name, ""), &out)
	return out, err
}

// AddService adds a virtual service to the draft.
func (c *Client) AddService(ctx context.Context, tag string, f Fields) error {
	return c.edit(ctx, tag, http.MethodPost, PathDraftServices, f)
}

// SetService changes a virtual service of the draft: the fields that are given.
func (c *Client) SetService(ctx context.Context, tag, name string, f Fields) error {
	return c.edit(ctx, tag, http.MethodPut, draftPath(PathDraftService, name, ""), f)
}

// RemoveService removes one from the draft.
func (c *Client) RemoveService(ctx context.Context, tag, name string) error {
	return c.edit(ctx, tag, http.MethodDelete, draftPath(PathDraftService, name, ""), nil)
}

// DraftServer returns one real server of the draft.
func (c *Client) DraftServer(ctx context.Context, service, server string) (ServerDraft, error) {
	var out ServerDraft
	err := c.get(ctx, draftPath(PathDraftServer, service, server), &out)
	return out, err
}

// AddServer adds a real server to a virtual service of the draft.
func (c *Client) AddServer(ctx context.Context, tag, service string, f Fields) error {
	return c.edit(ctx, tag, http.MethodPost, draftPath(PathDraftServers, service, ""), f)
}

// EditServer changes a real server of the draft.
func (c *Client) EditServer(ctx context.Context, tag, service, server string, f Fields) error {
	return c.edit(ctx, tag, http.MethodPut, draftPath(PathDraftServer, service, server), f)
}

// RemoveServer removes one from the draft.
func (c *Client) RemoveServer(ctx context.Context, tag, service, server string) error {
	return c.edit(ctx, tag, http.MethodDelete, draftPath(PathDraftServer, service, server), nil)
}

// DraftPart returns the part "node" or "cluster" of the draft.
func (c *Client) DraftPart(ctx context.Context, part string) (PartDraft, error) {
	var out PartDraft
	err := c.get(ctx, strings.Replace(PathDraftPart, "{part}", segment(part), 1), &out)
	return out, err
}

// SetPart changes it: the fields that are given.
func (c *Client) SetPart(ctx context.Context, tag, part string, f Fields) error {
	return c.edit(ctx, tag, http.MethodPut, strings.Replace(PathDraftPart, "{part}", segment(part), 1), f)
}

// History lists the configurations that were in force, newest first.
func (c *Client) History(ctx context.Context) ([]Revision, error) {
	var out []Revision
	err := c.get(ctx, PathHistory, &out)
	return out, err
}

// Revision returns one of them as YAML.
func (c *Client) Revision(ctx context.Context, number string) ([]byte, error) {
	var out raw
	err := c.get(ctx, revisionPath(number), &out)
	return out.body, err
}

// Revert makes the draft equal to a former configuration; the node's own part stays.
func (c *Client) Revert(ctx context.Context, tag, number string) error {
	return c.edit(ctx, tag, http.MethodPost, revisionPath(number), nil)
}

func revisionPath(number string) string {
	return strings.Replace(PathRevision, "{number}", segment(number), 1)
}

func draftPath(path, service, server string) string {
	return strings.NewReplacer("{service}", segment(service), "{server}", segment(server)).Replace(path)
}

// edit changes the draft that the caller saw.
func (c *Client) edit(ctx context.Context, tag, method, path string, in any) error {
	return c.editing(tag).act(ctx, method, path, in, nil)
}

// editing is a client whose calls are about the draft of a tag, "" = about whatever it is.
func (c *Client) editing(tag string) *Client {
	twin := *c
	twin.header = c.header.Clone()
	if tag != "" {
		if twin.header == nil {
			twin.header = http.Header{}
		}
		twin.header.Set("If-Match", `"`+tag+`"`)
	}
	return &twin
}
