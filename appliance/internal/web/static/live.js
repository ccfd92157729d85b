// Live regions: the server sends the inner HTML of each by name. Without this script the
// page shows the same once.
"use strict";
(() => {
  const regions = () => document.querySelectorAll("[data-live]");
  const main = document.querySelector("[data-live-view]");
  if (!main || !window.EventSource) return;
  const state = document.querySelector("[data-live-state]");
  const pause = document.querySelector("[data-live-pause]");
  let source = null;

  // keep remembers what a person has opened, so that an update does not close it.
  const apply = (name, html) => {
    for (const region of regions()) {
      if (region.dataset.live !== name || region.contains(document.activeElement) && document.activeElement.matches("select, input, button")) continue;
      const open = new Map([...region.querySelectorAll("details[id]")].map((d) => [d.id, d.open]));
      const template = document.createElement("template");
      template.innerHTML = html;
      for (const d of template.content.querySelectorAll("details[id]")) if (open.has(d.id)) d.open = open.get(d.id);
      region.replaceChildren(template.content);
    }
  };
  const say = (text) => { if (state) state.textContent = text; };
  const stop = () => { if (source) source.close(); source = null; };
  const start = () => {
    source = new EventSource("/lbadmin/events?" + main.dataset.liveView);
    source.addEventListener("regions", (e) => {
      say("3 Seconds");
      for (const [name, html] of Object.entries(JSON.parse(e.data))) apply(name, html);
    });
    source.addEventListener("bye", () => { stop(); say("Session ended"); });
    source.addEventListener("error", () => say("Not live, trying again"));
  };
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      const running = source !== null;
      if (running) { stop(); say("Paused"); } else { start(); say("3 Seconds"); }
      pause.textContent = running ? "Resume" : "Pause";
      pause.setAttribute("aria-pressed", String(running));
    });
  }
  start();
})();
