// Live regions: the server sends the inner HTML of each by name. Without this script the
// page shows the same once.
"use strict";
(() => {
  const main = document.querySelector("[data-live-view]");
  if (!main || !window.EventSource) return;
  const state = document.querySelector("[data-live-state]");
  const pause = document.querySelector("[data-live-pause]");
  const news = document.querySelector("[data-live-news]");
  let source = null;
  let paused = false;
  let ended = false;

  // morph changes what differs and leaves the rest: the focus, what was opened, chosen or
  // marked. A row that is another one's now is replaced: a button under the focus never
  // begins to mean another server.
  const key = (n) => n.nodeName + " " + (n.dataset?.key ?? n.id ?? "");
  const morph = (old, now) => {
    if (key(old) !== key(now)) return old.replaceWith(now);
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== now.data) old.data = now.data;
      return;
    }
    for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name) && !(name === "open" && old.id)) old.removeAttribute(name);
    }
    morphInside(old, now);
  };
  const morphInside = (old, now) => {
    const have = [...old.childNodes], want = [...now.childNodes];
    want.forEach((n, i) => (i < have.length ? morph(have[i], n) : old.append(n)));
    have.slice(want.length).forEach((n) => n.remove());
  };

  // states are the words of the rows, for those who hear the page instead of seeing it.
  const states = () => new Map([...document.querySelectorAll("[data-state]")].map((r) => [r.dataset.key, r.dataset.state]));
  const apply = (regions) => {
    const before = states();
    for (const [name, html] of Object.entries(regions)) {
      const template = document.createElement("template");
      template.innerHTML = html;
      for (const region of document.querySelectorAll("[data-live]")) {
        if (region.dataset.live === name) morphInside(region, template.content.cloneNode(true));
      }
    }
    const changed = [...states()].filter(([k, s]) => before.has(k) && before.get(k) !== s).map(([k, s]) => `${k}: ${s}`);
    if (news && changed.length) news.textContent = changed.join("; ");
  };

  const say = (text) => { if (state) state.textContent = text; };
  const stop = () => { source?.close(); source = null; };
  const start = () => {
    if (source || paused || ended || document.hidden) return;
    source = new EventSource("/lbadmin/events?" + main.dataset.liveView);
    source.addEventListener("regions", (e) => { say("3 Seconds"); apply(JSON.parse(e.data)); });
    source.addEventListener("wait", () => say("The daemon does not answer, trying again"));
    source.addEventListener("bye", () => { ended = true; stop(); say("Session ended: log in again"); });
    source.addEventListener("error", () => say("Not live, trying again"));
  };
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      if (paused) { stop(); say("Paused"); } else { say("3 Seconds"); start(); }
      pause.textContent = paused ? "Resume" : "Pause";
    });
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  start();
})();
