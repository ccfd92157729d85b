// Graphs that can be read closely: uPlot draws the same samples over the drawing that the
// server made, with a cursor, values, and a zoom (drag; double click goes back).
"use strict";
(() => {
  const figures = [...document.querySelectorAll("[data-graph]")];
  if (!figures.length || !window.uPlot) return;
  const every = 60000; // how often the samples are asked for again, ms
  const units = ["", "k", "M", "G", "T", "P"];
  const figure = (v) => (v >= 100 ? v.toFixed(0) : String(Number(v.toPrecision(3))));
  const scaled = (v, unit) => {
    let i = 0;
    while (Math.abs(v) >= 1000 && i < units.length - 1) { v /= 1000; i++; }
    return `${figure(v)} ${units[i]}${unit}`;
  };
  const show = (v, unit) => (v == null ? "–" : unit ? scaled(v, unit) : v.toFixed(2));
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // Times are UTC, as everywhere.
  const clock = (at) => new Date(at * 1000).toISOString().slice(11, 16);
  const times = (_, ticks) => ticks.map((at, i) => {
    const d = new Date(at * 1000), first = i === 0 || new Date(ticks[i - 1] * 1000).getUTCDate() !== d.getUTCDate();
    return first && ticks.length > 1 && ticks[1] - ticks[0] >= 3600 ? `${clock(at)}\n${d.toISOString().slice(5, 10)}` : clock(at);
  });
  const dashes = [[], [6, 2], [2, 2]];

  const options = (graph, width) => {
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid") } };
    return {
      width, height: 180, legend: { live: true },
      cursor: { drag: { x: true, y: false }, sync: { key: "vosbed" } },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      axes: [{ ...axis, values: times }, { ...axis, size: 70, values: (_, ticks) => ticks.map((v) => show(v, graph.unit)) }],
      series: [{ label: "UTC", value: (_, at) => (at == null ? "–" : `${new Date(at * 1000).toISOString().slice(5, 10)} ${clock(at)}`) }, ...graph.series.map((s, i) => ({
        label: s.label, stroke: colour(`--line-${i % 3 + 1}`), width: 1.8, dash: dashes[i % 3], value: (_, v) => show(v, graph.unit),
      }))],
    };
  };

  const drawn = new Map(); // figure -> { plot, graph }
  const data = (graph) => [graph.at, ...graph.series.map((s) => s.values)];
  const draw = (fig, graph) => {
    const now = drawn.get(fig);
    if (now && now.graph.series.length === graph.series.length) {
      now.graph = graph;
      now.plot.setData(data(graph));
      return;
    }
    now?.plot.destroy();
    const place = fig.querySelector("[data-graph-place]");
    fig.classList.add("graph-live");
    drawn.set(fig, { plot: new uPlot(options(graph, place.clientWidth), data(graph), place), graph });
  };
  const redraw = () => {
    for (const [fig, { plot, graph }] of drawn) { plot.destroy(); drawn.delete(fig); draw(fig, graph); }
  };

  const load = async () => {
    if (document.hidden) return;
    for (const url of new Set(figures.map((f) => f.dataset.graphUrl))) {
      const answer = await fetch(url, { headers: { Accept: "application/json" } }).catch(() => null);
      if (!answer?.ok) return; // what the server drew stays
      const graphs = await answer.json();
      for (const f of figures) {
        const graph = f.dataset.graphUrl === url && graphs[f.dataset.graph];
        if (graph && graph.at.length) draw(f, graph);
      }
    }
  };
  addEventListener("resize", () => { for (const [fig, { plot }] of drawn) plot.setSize({ width: fig.querySelector("[data-graph-place]").clientWidth, height: 180 }); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("visibilitychange", load);
  setInterval(load, every);
  load();
})();
