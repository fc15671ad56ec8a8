"use strict";
// Draws the embedded figures in the reader's theme, redraws them when it changes, and lets key and filters hide what a reader does not want to see.
(function () {
  const root = document.documentElement;
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const darkOf = read("colours");
  const plots = [...document.querySelectorAll(".plot")];
  const figures = new Map(plots.map((plot) => [plot, read(plot.dataset.figure)]));
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const hidden = new Set();

  function stored(value) {
    try {
      if (value === undefined) return localStorage.getItem("edgeacts-theme");
      localStorage.setItem("edgeacts-theme", value);
    } catch (error) {
      if (error.name !== "SecurityError") throw error; // a page opened from disk may have no storage: the choice lasts as long as it
    }
    return null;
  }

  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function recoloured(value, dark) {
    if (typeof value === "string") return (dark && darkOf[value]) || value;
    if (Array.isArray(value)) return value.length && typeof value[0] === "number" ? value : value.map((item) => recoloured(item, dark));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, recoloured(item, dark)]));
  }

  const name = (key, value) => JSON.stringify([key, value]);

  function isHidden(trace) {
    return Boolean(trace.meta) && Object.entries(trace.meta).some(([key, value]) => hidden.has(name(key, value)));
  }

  // Of the points that are shown: those that no other beats in both latency (x) and accuracy (y).
  function front(traces) {
    const points = traces.filter((trace) => trace.meta && "failed" in trace.meta && !trace.meta.failed && !isHidden(trace));
    const pairs = points.map((trace) => [trace.x[0], trace.y[0]]).sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    const best = [];
    for (const pair of pairs) if (!best.length || pair[1] > best[best.length - 1][1]) best.push(pair);
    return { x: best.map((pair) => pair[0]), y: best.map((pair) => pair[1]) };
  }

  function draw(plot, dark) {
    const figure = figures.get(plot);
    const traces = figure.data.map((trace) => {
      const drawn = recoloured(trace, dark);
      if (isHidden(trace)) drawn.visible = false;
      return drawn;
    });
    for (const trace of traces) if (trace.meta && trace.meta.front) Object.assign(trace, front(figure.data));
    const layout = structuredClone(figure.layout);
    layout.paper_bgcolor = layout.plot_bgcolor = css("--paper");
    layout.font.color = css("--ink");
    layout.hoverlabel = { bgcolor: css("--wash"), bordercolor: css("--rule"), font: { color: css("--ink") } };
    for (const axis of [layout.xaxis, layout.yaxis]) {
      axis.gridcolor = axis.linecolor = axis.tickcolor = css("--grid");
    }
    const config = {
      responsive: true,
      displaylogo: false,
      displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    };
    return Plotly.react(plot, traces, layout, config);
  }

  function show() {
    const dark = root.dataset.theme === "dark";
    const button = document.getElementById("theme");
    button.setAttribute("aria-pressed", String(dark));
    button.textContent = dark ? "Light theme" : "Dark theme";
    return Promise.all(plots.map((plot) => draw(plot, dark)));
  }

  function choose() {
    root.dataset.theme = stored() || (system.matches ? "dark" : "light");
    return show();
  }

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    stored(root.dataset.theme);
    show();
  });
  system.addEventListener("change", choose);
  for (const button of document.querySelectorAll(".key button, .filter button")) {
    button.addEventListener("click", () => {
      const chosen = name(button.dataset.key, button.dataset.value);
      if (!hidden.delete(chosen)) hidden.add(chosen);
      button.setAttribute("aria-pressed", String(!hidden.has(chosen)));
      show();
    });
  }
  // Folded tables open for printing: paper has no buttons.
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
  choose().then(() => { root.dataset.plots = String(plots.length); });
})();
