// What is live: htmx and its SSE extension put the regions that the server sends in their
// places. This script adds what they lack: a pause, rest while nobody looks, and words for
// those who hear the page instead of seeing it. Without scripts the page shows the same once.
"use strict";
(() => {
  const state = document.querySelector("[data-live-state]");
  const pause = document.querySelector("[data-live-pause]");
  const news = document.querySelector("[data-live-news]");
  const streams = new Set();
  let paused = false;

  const say = (text) => { if (state) state.textContent = text; };

  // Stream is what the extension takes for an EventSource. It can rest: the connection is
  // given up then, and made anew with the same listeners.
  class Stream {
    constructor(url) {
      this.url = url;
      this.heard = [];
      this.ended = false;
      this.refusals = 0;
      streams.add(this);
      this.wake();
    }
    get readyState() { return this.source ? this.source.readyState : EventSource.CONNECTING; }
    addEventListener(name, listener) {
      this.heard.push([name, listener]);
      this.source?.addEventListener(name, listener);
    }
    removeEventListener(name, listener) {
      this.heard = this.heard.filter(([n, l]) => n !== name || l !== listener);
      this.source?.removeEventListener(name, listener);
    }
    wake() {
      if (this.source || this.ended || paused || document.hidden) return;
      const url = new URL(this.url, document.baseURI);
      if (this.last) url.searchParams.set("after", this.last); // of rows: no row comes twice
      this.source = new EventSource(url);
      this.source.addEventListener("rows", (e) => { this.last = e.lastEventId; });
      this.source.onopen = () => { this.refusals = 0; say("3 Seconds"); };
      this.source.onerror = () => this.failed();
      this.source.addEventListener("wait", () => say("The daemon does not answer, trying again"));
      this.source.addEventListener("at", () => say("3 Seconds"));
      for (const [name, listener] of this.heard) this.source.addEventListener(name, listener);
    }
    // failed: a browser tries again by itself where the network failed; where it was refused
    // (the daemon is away, too many pages are live, the session has ended) we do, ever slower.
    failed() {
      say("Not live, trying again");
      if (this.source?.readyState !== EventSource.CLOSED) return;
      this.rest();
      if (++this.refusals > 8) return say("Not live: load the page again");
      setTimeout(() => this.wake(), 1000 * 2 ** this.refusals);
    }
    rest() {
      this.source?.close();
      this.source = null;
    }
    close() {
      this.ended = true;
      this.rest();
      streams.delete(this);
    }
  }
  htmx.createEventSource = (url) => new Stream(url);

  const all = () => { for (const s of streams) if (paused || document.hidden) s.rest(); else s.wake(); };
  document.addEventListener("visibilitychange", all);
  if (pause && document.body.hasAttribute("sse-connect")) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      say(paused ? "Paused" : "3 Seconds");
      pause.textContent = paused ? "Resume" : "Pause";
      all();
    });
  }
  document.body.addEventListener("htmx:sseClose", (e) => { if (e.detail.type === "message") say("Session ended: log in again"); });

  // What a person opened or chose stays as it is.
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.id);
  Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => old.nodeName !== "SELECT";

  // A table that grows at its top forgets its end.
  document.body.addEventListener("htmx:sseMessage", () => {
    for (const body of document.querySelectorAll("[data-live-most]")) {
      while (body.rows.length > Number(body.dataset.liveMost)) body.deleteRow(-1);
    }
  });

  // The words of the rows that changed are told.
  let before = new Map();
  const states = () => new Map([...document.querySelectorAll("[data-state]")].map((r) => [r.id.split("/").slice(1).join(" "), r.dataset.state]));
  document.body.addEventListener("htmx:sseBeforeMessage", () => { before = states(); });
  document.body.addEventListener("htmx:sseMessage", () => {
    const changed = [...states()].filter(([k, s]) => before.has(k) && before.get(k) !== s).map(([k, s]) => `${k}: ${s}`);
    if (news && changed.length) news.textContent = changed.join("; ");
  });
})();
