package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// Node is what the control socket speaks for.
type Node interface {
	// Status returns the node's present state.
	Status() Status
	// Faults returns the node's board.
	Faults() *FaultBoard
	// Settle waits until the listeners follow the board.
	Settle(ctx context.Context) error
}

// errorBody is the answer to a call that failed.
type errorBody struct {
	Error string `json:"error"`
}

// NewHandler returns the HTTP handler of a control socket:
//
//	GET    /status          Status
//	GET    /faults          []Fault
//	PUT    /faults          Fault in the body
//	DELETE /faults[?kind=K] one kind, or all
func NewHandler(n Node) http.Handler {
	h := handler{node: n}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", h.status)
	mux.HandleFunc("GET /faults", h.list)
	mux.HandleFunc("PUT /faults", h.set)
	mux.HandleFunc("DELETE /faults", h.clear)
	return mux
}

type handler struct{ node Node }

func (h handler) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, h.node.Status())
}

func (h handler) list(w http.ResponseWriter, _ *http.Request) {
	faults := h.node.Faults().List()
	if faults == nil {
		faults = []Fault{}
	}
	answer(w, http.StatusOK, faults)
}

func (h handler) set(w http.ResponseWriter, r *http.Request) {
	var f Fault
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		answer(w, http.StatusBadRequest, errorBody{fmt.Sprintf("decode fault: %v", err)})
		return
	}
	if err := h.node.Faults().Set(f); err != nil {
		answer(w, http.StatusBadRequest, errorBody{err.Error()})
		return
	}
	h.settle(w, r)
}

func (h handler) clear(w http.ResponseWriter, r *http.Request) {
	var kinds []Kind
	if k := Kind(r.URL.Query().Get("kind")); k != "" {
		if !slices.Contains(Kinds(), k) {
			answer(w, http.StatusBadRequest, errorBody{fmt.Sprintf("unknown kind %q, want one of %v", k, Kinds())})
			return
		}
		kinds = []Kind{k}
	}
	h.node.Faults().Clear(kinds...)
	h.settle(w, r)
}

// settle answers once the listeners follow the board.
func (h handler) settle(w http.ResponseWriter, r *http.Request) {
	if err := h.node.Settle(r.Context()); err != nil {
		answer(w, http.StatusInternalServerError, errorBody{fmt.Sprintf("faults set, but listeners do not follow: %v", err)})
		return
	}
	answer(w, http.StatusOK, h.node.Faults().List())
}

// answer writes v as JSON. A client that went away loses only its answer.
func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}
