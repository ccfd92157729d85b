package drive

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/chromedp/chromedp"
)

//go:embed page.js
var pageScript string

// world is the name of the driver's own world in a page.
const world = "vosbed"

// session is the page while an order is done.
type session struct {
	t     *chromedp.Target
	base  string
	busy  *traffic
	notes *notes
	// complaints are what goes wrong in the page unseen.
	complaints *notes
}

// notes are remarks for the answer.
type notes struct {
	mu   sync.Mutex
	text []string
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if text == "" || len(n.text) >= maxNotes {
		return
	}
	n.text = append(n.text, text)
}

// maxNotes bounds what is kept between two calls of take.
const maxNotes = 100

// take returns the remarks since the last call.
func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.text
	n.text = nil
	return out
}

// object is the parameters or the result of a protocol command. The commands are
// called by name: the driver needs a few fields of each, and a field that a newer
// browser adds must not matter.
type object = map[string]any

// prepare opens the page and makes it answer questions.
func (t *tab) prepare() error {
	return chromedp.Do(t.ctx, chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		asked, _ := page.Subscribe("Page.javascriptDialogOpening")
		go func() {
			for ev := range asked { // ends with the page
				var q struct {
					Message string `json:"message"`
				}
				if json.Unmarshal(ev, &q) == nil {
					t.notes.add("the page asked " + q.Message + "; the answer was OK")
				}
				_ = page.Call(ctx, "Page.handleJavaScriptDialog", object{"accept": true}, nil)
			}
		}()
		size := object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}
		return errors.Join(
			page.Call(ctx, "Emulation.setDeviceMetricsOverride", size, nil),
			page.Call(ctx, "Accessibility.enable", nil, nil),
			t.listen(ctx, page),
		)
	}))
}

// remote is a JavaScript value, or a handle to it.
type remote struct {
	Result struct {
		Value    json.RawMessage `json:"value"`
		ObjectID string          `json:"objectId"`
	} `json:"result"`
	Thrown *struct {
		Text      string `json:"text"`
		Exception struct {
			Description string `json:"description"`
		} `json:"exception"`
	} `json:"exceptionDetails"`
}

func (r remote) err() error {
	if r.Thrown == nil {
		return nil
	}
	return fmt.Errorf("%s %s", r.Thrown.Text, r.Thrown.Exception.Description)
}

// enter returns the driver's world in the present page.
func (s *session) enter(ctx context.Context) (int, error) {
	var tree struct {
		FrameTree struct {
			Frame struct {
				ID string `json:"id"`
			} `json:"frame"`
		} `json:"frameTree"`
	}
	if err := s.t.Call(ctx, "Page.getFrameTree", nil, &tree); err != nil {
		return 0, err
	}
	var made struct {
		ID int `json:"executionContextId"`
	}
	err := s.t.Call(ctx, "Page.createIsolatedWorld", object{"frameId": tree.FrameTree.Frame.ID, "worldName": world}, &made)
	return made.ID, err
}

// ask calls a function of page.js in the present page and decodes its result.
func (s *session) ask(ctx context.Context, out any, function string) error {
	id, err := s.enter(ctx)
	if err != nil {
		return err
	}
	return s.call(ctx, object{"executionContextId": id}, out, function)
}

// askOf calls a function of page.js with an element as its this.
func (s *session) askOf(ctx context.Context, el handle, out any, function string, args ...any) error {
	return s.call(ctx, object{"objectId": string(el)}, out, function, args...)
}

func (s *session) call(ctx context.Context, params object, out any, function string, args ...any) error {
	given := make([]object, len(args))
	for i, a := range args {
		given[i] = object{"value": a}
		if el, ok := a.(handle); ok {
			given[i] = object{"objectId": string(el)}
		}
	}
	params["functionDeclaration"] = "function(...args) {\n" + pageScript + "\nreturn " + function + ".apply(this, args);\n}"
	params["arguments"] = given
	params["returnByValue"], params["awaitPromise"] = true, true
	var r remote
	if err := s.t.Call(ctx, "Runtime.callFunctionOn", params, &r); err != nil {
		return err
	}
	if err := r.err(); err != nil {
		return fmt.Errorf("%s: %w", function, err)
	}
	if out == nil || len(r.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(r.Result.Value, out)
}

// handle refers to an element of the page.
type handle string

// resolve returns a handle to a node of the accessibility tree.
func (s *session) resolve(ctx context.Context, world int, n node) (handle, error) {
	var out struct {
		Object struct {
			ObjectID string `json:"objectId"`
		} `json:"object"`
	}
	err := s.t.Call(ctx, "DOM.resolveNode", object{"backendNodeId": n.Backend, "executionContextId": world}, &out)
	return handle(out.Object.ObjectID), err
}

// node is one of the accessibility tree: what a page offers, under the name by which
// the browser would announce it.
type node struct {
	Ignored bool  `json:"ignored"`
	Role    value `json:"role"`
	Name    value `json:"name"`
	Backend int   `json:"backendDOMNodeId"`
}

type value struct {
	Value any `json:"value"`
}

func (v value) text() string {
	text, _ := v.Value.(string)
	return squeeze(text)
}

// offers returns the nodes of the page that have one of the roles.
func (s *session) offers(ctx context.Context, roles []string) ([]node, error) {
	var tree struct {
		Nodes []node `json:"nodes"`
	}
	if err := s.t.Call(ctx, "Accessibility.getFullAXTree", nil, &tree); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(tree.Nodes, func(n node) bool {
		return n.Ignored || n.Backend == 0 || !slices.Contains(roles, n.Role.text())
	}), nil
}
