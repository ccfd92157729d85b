package drive_test

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// site is a small web site that has what the WebUI has: menus, forms, tables, pages
// that change by themselves, and a strict content security policy.
type site struct {
	mu   sync.Mutex
	sent []string // forms
}

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", page("Start", `<h1>System Overview</h1>
<p>Status:  all
 green</p><p>Harmonic – Management</p><p class="loud">Virtual Service</p>
<p class="not">never seen</p>`))
	mux.HandleFunc("GET /form", page("Form", `<h1>Add</h1><form method="post" action="/form">
<fieldset><legend>Virtual Service</legend>
<label for="a">Label</label><input id="a" name="label">
<label>Ports <input name="ports" value="80"></label>
<input aria-label="IP Address" name="ip">
<label for="l7">Layer 7 Protocol</label><select id="l7" name="l7"><option>HTTP Mode<option>TCP  Mode</select>
<label><input type="checkbox" name="re" value="yes"> Re-Encrypt to Backend</label>
<label>Weight <input name="weight" value="100" type="number"></label>
<label>Fixed <input name="fixed" value="1" readonly></label>
</fieldset>
<button>Update</button> <a href="/">Cancel</a> <button disabled type="button">Remove</button></form>`))
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.sent = append(s.sent, r.PostFormValue("label")+"|"+r.PostFormValue("ip")+"|"+r.PostFormValue("ports")+"|"+
			r.PostFormValue("l7")+"|"+r.PostFormValue("re")+"|"+r.PostFormValue("weight"))
		s.mu.Unlock()
		http.Redirect(w, r, "/list", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /list", page("List", `<h1>Services</h1><table><caption>All</caption>
<thead><tr><th scope="col">Label</th><th scope="col">IP</th><th scope="col">Do</th></tr></thead>
<tbody><tr><td><span class="badge"><span aria-hidden="true">◐</span> Draining</span> <b>HM1</b></td><td>192.168.94.105</td><td><a href="/at/HM1" aria-label="Modify HM1">Modify</a></td></tr>
<tr><td><b>HM10</b></td><td>192.168.94.106</td><td><a href="/at/HM10">Modify</a> <a href="/at/HM10">Remove HM10</a></td></tr></tbody></table>
<section><h2>One</h2><button>Advanced +</button></section><section aria-label="Second"><h2>Two</h2><button>Advanced +</button></section>`))
	mux.HandleFunc("GET /at/{name}", func(w http.ResponseWriter, r *http.Request) {
		page("At", "<h1>This is "+r.PathValue("name")+"</h1>")(w, r)
	})
	mux.HandleFunc("GET /late", page("Late", `<h1>Late</h1><p id="later">not yet</p><script src="/late.js"></script>`))
	mux.HandleFunc("GET /late.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = fmt.Fprint(w, `setTimeout(() => { document.getElementById("later").textContent = "now it is here" }, 600)`)
	})
	mux.HandleFunc("GET /live", page("Live", `<h1>Live</h1><p id="n">waiting</p><div id="rows"></div><button id="ask">Halt</button>
<button id="under">Under</button><p class="over">this lies over it</p><script src="/live.js"></script>`))
	mux.HandleFunc("GET /live.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = fmt.Fprint(w, `new EventSource("/events").onmessage = (e) => {
  document.getElementById("n").textContent = "event " + e.data;
  const b = document.createElement("button");
  b.textContent = "Swapped";
  b.onclick = () => { document.getElementById("n").dataset.hit = "1"; document.title = "hit" };
  document.getElementById("rows").replaceChildren(b);
};
document.getElementById("ask").onclick = () => { if (confirm("Halt HM1?")) fetch("/slow").then((r) => r.text()).then((t) => { document.title = t }) };`)
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(700 * time.Millisecond):
		case <-r.Context().Done():
		}
		_, _ = fmt.Fprint(w, "halted")
	})
	mux.HandleFunc("GET /events", events)
	mux.HandleFunc("GET /broken", page("Broken", `<h1>Broken</h1><button>Press</button><script src="/broken.js"></script>`))
	mux.HandleFunc("GET /forbidden", page("Forbidden", `<h1>Forbidden</h1><p onclick="alert(1)" style="color:red">styled</p>`))
	mux.HandleFunc("GET /broken.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = fmt.Fprint(w, `document.querySelector("button").onclick = () => nowhere.defined()`)
	})
	mux.HandleFunc("GET /bad", page("Bad", `<h1>Bad</h1><img src="/x.png"><input name="nolabel">`))
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		_, _ = fmt.Fprint(w, `body{background:#fff;color:#111}a{color:#00449e}nav a,summary,input,select,button{display:inline-block;min-height:30px;min-width:30px;line-height:30px;margin:4px}.loud{text-transform:uppercase}.not{display:none}.over{position:fixed;inset:60% 0 0 0;background:#eee}#under{position:fixed;bottom:10px}
.menu ul{display:none}.menu details[open] ul{display:block}`)
	})
	return mux
}

// events changes the page ten times a second, as long as somebody listens.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 1; ; i++ {
		_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
		w.(http.Flusher).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// page writes a page with the site's menu.
func page(title, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; connect-src 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'")
		_, _ = fmt.Fprintf(w, `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>%s</title><link rel="stylesheet" href="/style.css"></head><body>
<nav class="menu" aria-label="Main"><a href="/">System Overview</a>
<details><summary>Cluster Configuration</summary><ul><li><a href="/form">Layer 7 – Virtual Services</a></li><li><a href="/list">Real Servers</a></li></ul></details>
<details><summary>Maintenance</summary><ul><li><a href="/late">Restart Services</a></li></ul></details></nav>
<main>%s</main></body></html>`, title, body)
	}
}
