"use strict";
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const byId = (id) => document.getElementById(id);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const print = matchMedia("print");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Okabe and Ito 2008: colours that people with a colour vision deficiency can tell apart; lighter ones on dark paper.
  const RUNS = { light: ["#0072b2", "#d55e00", "#009e73", "#b5548f", "#b07800", "#3b8fc4"], dark: ["#5fb4ee", "#f08a4b", "#2fc79a", "#e69ac8", "#f0c54a", "#9bd0f5"] };
  const theme = () => (dark.matches && !print.matches ? "dark" : "light");
  const runColour = (run) => RUNS[theme()][run % RUNS.light.length];
  const number = (value) => (value == null ? "–" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? (+value.toPrecision(4)).toExponential() : String(+value.toPrecision(5)));
  const redraws = [];
  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  function smoothed(values, weight) {
    let mean = 0, norm = 0;
    return values.map((value) => {
      if (value == null) return value;
      mean = weight * mean + (1 - weight) * value;
      norm = weight * norm + (1 - weight);
      return mean / norm;
    });
  }

  function curves({ unit, runs, panels }) {
    const slider = byId("smoothing"), charts = [];
    const weight = () => +slider.value;

    // One series for each run; with smoothing, a faint one of what was measured comes before it.
    function options(panel, width) {
      const axis = { stroke: style("--quiet"), grid: { stroke: style("--rule"), width: 1 }, ticks: { stroke: style("--rule"), width: 1 }, font: "12px system-ui, sans-serif" };
      const series = [{ label: unit, value: (_, value) => number(value) }];
      for (const line of panel.lines) {
        const stroke = runColour(line.run), points = { show: line.x.length < 60, size: 5, fill: stroke };
        if (weight() > 0) series.push({ label: "raw", class: "raw", stroke: stroke + "55", width: 1, spanGaps: true, points: { show: false } });
        series.push({ label: runs.length > 1 ? runs[line.run] : "value", stroke, width: 2, spanGaps: true, points, value: (_, value) => number(value) });
      }
      return {
        width, height: 240, series,
        scales: { x: { time: false } },
        axes: [{ ...axis, size: 30 }, { ...axis, size: 62, values: (_, ticks) => ticks.map(number) }],
        cursor: { drag: { x: true, y: false }, focus: { prox: 24 }, sync: { key: "curves", setSeries: false } },
        focus: { alpha: runs.length > 1 ? 0.35 : 1 },
      };
    }

    function table(panel) {
      const tables = panel.lines.flatMap(({ x, y }) => (weight() > 0 ? [[x, y], [x, smoothed(y, weight())]] : [[x, y]]));
      return uPlot.join(tables);
    }

    function draw(chart) {
      const range = chart.plot && chart.zoomed ? { min: chart.plot.scales.x.min, max: chart.plot.scales.x.max } : null;
      chart.plot?.destroy();
      chart.plot = new uPlot(options(chart.panel, chart.place.clientWidth || 460), table(chart.panel), chart.place);
      if (range) chart.plot.setScale("x", range);
    }

    function zoom(chart, factor) {
      const { min, max } = chart.plot.scales.x, xs = chart.plot.data[0];
      const middle = (min + max) / 2, half = ((max - min) / 2) * factor;
      const low = Math.max(middle - half, xs[0]), high = Math.min(middle + half, xs[xs.length - 1]);
      chart.zoomed = true;
      chart.plot.setScale("x", { min: low, max: high });
    }

    function whole(chart) {
      const xs = chart.plot.data[0];
      chart.zoomed = false;
      chart.plot.setScale("x", { min: xs[0], max: xs[xs.length - 1] });
    }

    for (const panel of panels) {
      const place = element("div"), title = element("h3", {}, element("span", { textContent: panel.title }));
      const chart = { panel, place, plot: null, zoomed: false };
      for (const [text, label, action] of [["+", "Zoom in", () => zoom(chart, 0.5)], ["−", "Zoom out", () => zoom(chart, 2)], ["All", "Show all", () => whole(chart)]]) {
        const button = element("button", { type: "button", textContent: text, onclick: action });
        button.setAttribute("aria-label", `${label}: ${panel.title}`);
        title.append(button);
      }
      (panel.main ? byId("panels") : byId("more-panels")).append(element("div", { className: "panel" }, title, place));
      place.addEventListener("mouseup", () => setTimeout(() => { const { min, max } = chart.plot.scales.x, xs = chart.plot.data[0]; chart.zoomed = min > xs[0] || max < xs[xs.length - 1]; }));
      charts.push(chart);
    }
    const visible = () => charts.filter(({ panel }) => panel.main || byId("more")?.open);
    const redraw = () => visible().forEach(draw);
    slider.addEventListener("input", () => { byId("smoothed").textContent = weight() > 0 ? weight().toFixed(2) : "none"; redraw(); });
    byId("more")?.addEventListener("toggle", redraw);
    new ResizeObserver(() => visible().forEach((chart) => chart.plot?.setSize({ width: chart.place.clientWidth, height: 240 }))).observe(byId("panels"));
    redraws.push(redraw);
    redraw();
    window.burnSslCharts = charts;
  }

  function map({ layouts, colours }) {
    const canvas = byId("map-canvas"), tip = byId("map-tip"), context = canvas.getContext("2d");
    const select = byId("colour"), legend = byId("map-legend");
    const view = { x: 0, y: 0, zoom: 1 };
    let only = null, sprite = null, hovered = null, grabbed = null;
    const span = (values) => { const low = Math.min(...values), high = Math.max(...values); return [low, high - low || 1]; };
    let x, y, left, width, bottom, height;
    const lay = (layout) => { ({ x, y } = layout); [left, width] = span(x); [bottom, height] = span(y); };
    lay(layouts[0]);
    const colouring = () => colours[+select.value];

    function colour(place) {
      const { values, groups } = colouring(), light = theme() === "light";
      if (!groups.length) return `hsl(${250 - (210 * values[place]) / x.length} 75% ${light ? 42 : 62}%)`;
      const group = values[place], hue = (360 * group) / groups.length;
      return `hsl(${hue} 70% ${(light ? 42 : 62) + (group % 2 ? 8 : -2)}%)`;
    }

    function at(place) {
      const margin = 24, w = canvas.clientWidth - 2 * margin, h = canvas.clientHeight - 2 * margin;
      const px = margin + ((x[place] - left) / width) * w, py = margin + (1 - (y[place] - bottom) / height) * h;
      const cx = canvas.clientWidth / 2, cy = canvas.clientHeight / 2;
      return [(px - cx - view.x) * view.zoom + cx, (py - cy - view.y) * view.zoom + cy];
    }

    function draw() {
      const scale = devicePixelRatio || 1;
      canvas.width = canvas.clientWidth * scale; canvas.height = canvas.clientHeight * scale;
      context.setTransform(scale, 0, 0, scale, 0, 0);
      const images = byId("points").value === "images" && sprite, size = Math.min(28 * Math.sqrt(view.zoom), 72);
      const radius = Math.min(3 + view.zoom / 2, 6);
      for (let place = 0; place < x.length; place++) {
        const [px, py] = at(place);
        if (px < -40 || py < -40 || px > canvas.clientWidth + 40 || py > canvas.clientHeight + 40) continue;
        context.globalAlpha = only == null || colouring().values[place] === only ? 1 : 0.1;
        context.fillStyle = context.strokeStyle = colour(place);
        if (images) {
          const w = sprite.width / data.columns, h = sprite.height / data.rows;
          context.drawImage(sprite, (place % data.columns) * w, Math.floor(place / data.columns) * h, w, h, px - size / 2, py - size / 2, size, size);
          context.lineWidth = 2;
          context.strokeRect(px - size / 2, py - size / 2, size, size);
        } else {
          context.globalAlpha *= 0.85;
          context.beginPath(); context.arc(px, py, radius, 0, 7); context.fill();
        }
      }
      context.globalAlpha = 1;
      if (hovered != null) {
        const [px, py] = at(hovered);
        context.strokeStyle = style("--ink"); context.lineWidth = 2;
        context.beginPath(); context.arc(px, py, radius + 3, 0, 7); context.stroke();
      }
    }

    function key() {
      const { groups } = colouring();
      only = null;
      if (!groups.length) {
        const bar = element("span", { className: "gradient" });
        bar.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 0.999].map((part) => colour(colouring().values.indexOf(Math.floor(part * x.length)))).join(",")})`;
        legend.replaceChildren(element("li", {}, bar), element("li", { textContent: "first to last", className: "note" }));
        return;
      }
      legend.replaceChildren(...groups.map((name, group) => {
        const place = colouring().values.indexOf(group), swatch = element("span", { className: "swatch" });
        if (place < 0) return "";
        swatch.style.background = colour(place);
        const button = element("button", { type: "button" }, swatch, name);
        button.setAttribute("aria-pressed", "false");
        button.onclick = () => {
          only = only === group ? null : group;
          for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button && only != null));
          draw();
        };
        return element("li", {}, button);
      }));
    }

    function nearest(px, py) {
      let best = null, least = 14 * 14;
      for (let place = 0; place < x.length; place++) {
        const [qx, qy] = at(place), distance = (px - qx) ** 2 + (py - qy) ** 2;
        if (distance < least) { least = distance; best = place; }
      }
      return best;
    }

    function show(place) {
      hovered = place;
      tip.hidden = place == null;
      if (place != null) {
        const share = (index, count) => `${(100 * index) / (Math.max(count, 2) - 1)}%`;
        tip.firstElementChild.style.backgroundPosition = `${share(place % data.columns, data.columns)} ${share(Math.floor(place / data.columns), data.rows)}`;
        const said = colours.filter(({ groups }) => groups.length).map(({ name, values, groups }) => (name === "cluster" ? groups[values[place]] : `${name}: ${groups[values[place]]}`));
        byId("map-text").textContent = [data.names[place], ...said].join("\n");
        const [px, py] = at(place);
        tip.style.left = `${Math.max(0, Math.min(px + 14, canvas.clientWidth - tip.offsetWidth - 4))}px`;
        tip.style.top = `${Math.max(0, py + 14 + tip.offsetHeight > canvas.clientHeight ? py - tip.offsetHeight - 14 : py + 14)}px`;
      }
      draw();
    }

    function zoom(factor, px = canvas.clientWidth / 2, py = canvas.clientHeight / 2) {
      const next = Math.min(Math.max(view.zoom * factor, 1), 64), cx = canvas.clientWidth / 2, cy = canvas.clientHeight / 2;
      view.x += ((px - cx) * (1 / view.zoom - 1 / next)); view.y += ((py - cy) * (1 / view.zoom - 1 / next));
      view.zoom = next;
      if (next === 1) view.x = view.y = 0;
      show(null);
    }

    const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    canvas.addEventListener("pointerdown", (event) => { grabbed = [event.clientX, event.clientY]; if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId); show(nearest(...place(event))); });
    canvas.addEventListener("pointermove", (event) => {
      if (!grabbed) return show(nearest(...place(event)));
      view.x -= (event.clientX - grabbed[0]) / view.zoom; view.y -= (event.clientY - grabbed[1]) / view.zoom;
      grabbed = [event.clientX, event.clientY];
      draw();
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { grabbed = null; });
    canvas.addEventListener("pointerleave", (event) => { grabbed = null; if (event.pointerType === "mouse") show(null); });
    canvas.addEventListener("dblclick", (event) => zoom(2, ...place(event)));
    // Without Ctrl the wheel scrolls the page; a pinch on a touchpad comes as a wheel with Ctrl.
    canvas.addEventListener("wheel", (event) => { if (event.ctrlKey || event.metaKey) { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8, ...place(event)); } }, { passive: false });
    byId("map-in").onclick = () => zoom(1.6);
    byId("map-out").onclick = () => zoom(1 / 1.6);
    byId("map-all").onclick = () => zoom(0);
    byId("points").onchange = draw;
    select.onchange = () => { key(); draw(); };
    const layout = byId("layout");
    if (layout) layout.onchange = () => { lay(layouts[+layout.value]); zoom(0); };
    new ResizeObserver(draw).observe(canvas);
    const uri = getComputedStyle(tip.firstElementChild).backgroundImage.slice(5, -2), image = new Image();
    image.onload = () => { sprite = image; draw(); };
    image.src = uri;
    redraws.push(() => { key(); draw(); });
    key();
    draw();
    window.burnSslMap = { view, at };
  }

  if (data.curves) curves(data.curves);
  if (data.map) map(data.map);
  const redraw = () => redraws.forEach((draw) => draw());
  dark.addEventListener("change", redraw);
  print.addEventListener("change", redraw);
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
})();
