
// Training curves: lines that can be hidden, and a value under the pointer, the same line and step
// in every panel. Data come from curve_data.py; nothing here is ever parsed as markup.
const MOST_BANDS = 12;
const MOST_NAMES = 8;
const LONGEST_NAME = 11;
const NAME_ROOM = 12;
const LETTER = 7.2;
const svgNamespace = document.querySelector("svg")?.namespaceURI;
const curveData = document.getElementById("curve-data");

if (curveData) drawCurves(JSON.parse(curveData.textContent));

function drawCurves(data) {
  const hidden = new Set();
  const figures = [...document.querySelectorAll("figure[data-panel]")];
  const charts = figures.map((figure) => {
    const panel = data.panels[Number(figure.dataset.panel)];
    return makeChart(figure, panel, data, hidden, focus);
  });
  const names = [...document.querySelectorAll(".legend [data-group]")];

  function focus(group, step) {
    charts.forEach((chart) => chart.focus(group, step));
    for (const name of names) name.classList.toggle("focus", Number(name.dataset.group) === group);
  }

  function redraw() {
    for (const name of names) {
      name.setAttribute("aria-pressed", String(!hidden.has(Number(name.dataset.group))));
    }
    charts.forEach((chart) => chart.draw());
  }

  function only(...shown) {
    data.groups.forEach((_, group) => hidden.add(group));
    shown.forEach((group) => hidden.delete(group));
    redraw();
  }

  for (const name of names) {
    const group = Number(name.dataset.group);
    name.addEventListener("click", () => {
      if (!hidden.delete(group)) hidden.add(group);
      redraw();
    });
    name.addEventListener("dblclick", () => only(group));
    name.addEventListener("pointerenter", () => focus(group, null));
    name.addEventListener("pointerleave", () => focus(null, null));
  }
  document.getElementById("show-all")?.addEventListener("click", () => {
    hidden.clear();
    redraw();
  });
  document.getElementById("show-none")?.addEventListener("click", () => only());
  new ResizeObserver(() => charts.forEach((chart) => chart.draw())).observe(figures[0]);
  redraw();
}

function makeChart(figure, panel, data, hidden, focus) {
  const box = figure.querySelector(".drawing");
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  const percent = panel.unit === "%";
  const warp = panel.symlog ? (v) => Math.sign(v) * Math.log10(1 + Math.abs(v)) : (v) => v;
  let parts = new Map();
  let place = null;
  let shown = [];
  let at = null;

  function draw() {
    const width = box.clientWidth;
    if (!width) return;
    const height = Math.round(Math.min(300, Math.max(210, width * 0.62)));
    shown = panel.lines.filter(([group]) => !hidden.has(group));
    const named = shown.length <= MOST_NAMES && width > 300;
    const banded = shown.length <= MOST_BANDS;
    const values = shown.flatMap(([, , ...series]) => (banded ? series.flat() : series[0]));
    const known = values.filter((value) => value !== null);
    const [low, high] = range(known, percent, panel.symlog);
    const last = Math.max(1, ...panel.axes.map((steps) => steps.at(-1)));
    const longest = Math.max(0, ...shown.map(([group]) => shortName(group).length));
    const right = width - (named ? NAME_ROOM + LETTER * longest : 10);
    place = {
      x: (step) => 46 + (step / last) * (right - 46),
      y: (value) =>
        height - 36 - ((warp(value) - warp(low)) / (warp(high) - warp(low))) * (height - 46),
      height,
      right,
    };
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    svg.setAttribute("aria-labelledby", `title-${panel.name}`);
    svg.setAttribute("tabindex", "0");
    frame(svg, place, low, high, last, panel.symlog);
    if (panel.name === "accuracy" && data.behaviour !== null) mu(svg);
    parts = new Map();
    for (const line of shown) parts.set(line[0], drawLine(svg, line, banded));
    if (named) endNames(svg);
    svg.append(element("g", { class: "at" }));
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", () => focus(null, null));
    svg.addEventListener("blur", () => focus(null, null));
    svg.addEventListener("keydown", move);
    box.replaceChildren(svg, tip);
    tip.hidden = true;
  }

  function mu(svg) {
    const y = place.y(data.behaviour);
    const line = { x1: 46, x2: place.right, y1: y, y2: y, class: "mu" };
    const colour = `var(--${data.behaviourColour})`;
    svg.append(coloured(element("line", line), "stroke", colour));
    const text = element("text", { x: place.right - 3, y: y - 4, class: "mu" }, "µ");
    svg.append(coloured(text, "fill", colour));
  }

  function drawLine(svg, [group, axis, mean, lowest, highest], banded) {
    const of = data.groups[group];
    const steps = panel.axes[axis];
    const part = element("g", { class: "line" });
    const colour = `var(--${of.colour})`;
    if (banded && lowest) {
      const edge = [...points(steps, highest), ...points(steps, lowest).reverse()];
      const band = element("path", { d: `M${edge.join("L")}Z`, class: "band" });
      part.append(coloured(band, "fill", colour));
    }
    const attributes = { d: path(steps, mean), "stroke-width": of.width };
    if (of.dashes) attributes["stroke-dasharray"] = of.dashes;
    part.append(coloured(element("path", attributes), "stroke", colour));
    svg.append(part);
    return part;
  }

  const points = (steps, values) =>
    steps.flatMap((step, i) =>
      values[i] === null ? [] : [`${place.x(step).toFixed(1)} ${place.y(values[i]).toFixed(1)}`],
    );

  function path(steps, values) {
    const joined = points(steps, values);
    return joined.length === 1 ? `M${joined[0]}h0.1` : `M${joined.join("L")}`;
  }

  function shortName(group) {
    const { name } = data.groups[group];
    return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
  }

  function endNames(svg) {
    const ends = shown
      .map(([group, , mean]) => ({ group, y: place.y(mean.findLast((v) => v !== null) ?? 0) }))
      .sort((a, b) => a.y - b.y);
    for (let i = 1; i < ends.length; i += 1) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + 14);
    let floor = place.height - 32;
    for (const end of ends.reverse()) floor = (end.y = Math.min(end.y, floor)) - 14;
    for (const { group, y } of ends) {
      const of = data.groups[group];
      const at = { x: place.right + 6, y: y + 4, class: "name" };
      const text = element("text", at, shortName(group));
      svg.append(coloured(text, "fill", `var(--${of.colour})`));
    }
  }

  function point(event) {
    const bounds = box.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    let best = null;
    for (const [group, axis, mean] of shown) {
      const steps = panel.axes[axis];
      const i = nearest(steps, (step) => Math.abs(place.x(step) - x));
      if (mean[i] === null) continue;
      const far = Math.abs(place.y(mean[i]) - y) + Math.abs(place.x(steps[i]) - x);
      if (!best || far < best.far) best = { far, group, step: steps[i] };
    }
    if (best) focus(best.group, best.step);
  }

  function move(event) {
    const [along, across] =
      { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ??
      [];
    if (along === undefined || !shown.length) return;
    event.preventDefault();
    const found = shown.findIndex(([group]) => group === at?.group);
    const [group, axis] = shown[(Math.max(found, 0) + across + shown.length) % shown.length];
    const steps = panel.axes[axis];
    const i = at ? nearest(steps, (step) => Math.abs(step - at.step)) : steps.length - 1;
    focus(group, steps[Math.min(steps.length - 1, Math.max(0, i + along))]);
  }

  function focusOn(group, step) {
    const svg = box.querySelector("svg");
    if (!svg) return;
    at = group === null || step === null ? null : { group, step };
    svg.classList.toggle("focused", group !== null && parts.has(group));
    for (const [own, part] of parts) part.classList.toggle("focus", own === group);
    if (parts.has(group)) svg.insertBefore(parts.get(group), svg.querySelector(".at"));
    const line = shown.find(([own]) => own === group);
    tip.hidden = !line || step === null;
    svg.querySelector(".at").replaceChildren();
    if (!tip.hidden) tell(svg, line, step);
  }

  function tell(svg, [group, axis, mean, lowest, highest], step) {
    const of = data.groups[group];
    const steps = panel.axes[axis];
    const i = nearest(steps, (own) => Math.abs(own - step));
    if (mean[i] === null) {
      tip.hidden = true;
      return;
    }
    const [x, y] = [place.x(steps[i]), place.y(mean[i])];
    const rule = element("line", { x1: x, x2: x, y1: 8, y2: place.height - 36, class: "rule" });
    const dot = coloured(element("circle", { cx: x, cy: y, r: 4 }), "fill", `var(--${of.colour})`);
    svg.querySelector(".at").append(rule, dot);
    const unit = percent ? "%" : panel.unit && ` ${panel.unit}`;
    const lines = [of.name, `step ${steps[i]}: ${number(mean[i])}${unit}`];
    if (lowest) lines.push(`${of.seeds} seeds: ${number(lowest[i])} to ${number(highest[i])}`);
    tip.replaceChildren(
      ...lines.map((text) => Object.assign(document.createElement("div"), { textContent: text })),
    );
    const width = box.clientWidth;
    tip.style.left = `${Math.min(Math.max(0, x + 12), Math.max(0, width - tip.offsetWidth))}px`;
    if (x + 12 + tip.offsetWidth > width) {
      tip.style.left = `${Math.max(0, x - 12 - tip.offsetWidth)}px`;
    }
    tip.style.top = `${Math.max(0, y - tip.offsetHeight - 10)}px`;
  }

  return { draw, focus: focusOn };
}

function frame(svg, { x, y, height, right }, low, high, last, symlog) {
  const marks = apart(symlog ? powers(low, high) : ticks(low, high, 5), y, 15);
  for (const mark of marks) {
    svg.append(element("line", { x1: 46, x2: right, y1: y(mark), y2: y(mark), class: "grid" }));
    svg.append(element("text", { x: 40, y: y(mark) + 4, class: "tick left" }, number(mark)));
  }
  for (const mark of apart(ticks(0, last, Math.max(2, Math.round(right / 90))), x, 34)) {
    svg.append(element("text", { x: x(mark), y: height - 20, class: "tick" }, number(mark)));
  }
  svg.append(element("text", { x: right, y: height - 4, class: "tick left" }, "training step"));
}

// The limits of an axis: shares from 0 to 100, else what is there with some room.
function range(values, percent, symlog) {
  if (percent) return [0, 100];
  if (!values.length) return [0, 1];
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  if (symlog) return [Math.min(low, 0) * 1.3, Math.max(high, 0) * 1.3];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.99);
  const marks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) {
    marks.push(Number((i * step).toPrecision(12)));
  }
  return marks;
}

// The marks whose labels do not touch: 0 first, then the farthest from it, then what fits between.
function apart(marks, place, room) {
  const shown = [];
  const wanted = [...marks].sort((a, b) => (a && b ? Math.abs(b) - Math.abs(a) : a ? 1 : -1));
  for (const mark of wanted) {
    if (shown.every((other) => Math.abs(place(other) - place(mark)) >= room)) shown.push(mark);
  }
  return shown.sort((a, b) => a - b);
}

function powers(low, high) {
  const most = Math.ceil(Math.log10(Math.max(-low, high, 10)));
  const every = most > 4 ? 2 : 1;
  const marks = [0];
  for (let i = 0; i <= most; i += every) marks.push(10 ** i, -(10 ** i));
  return marks.filter((mark) => low <= mark && mark <= high);
}

function nearest(steps, distance) {
  let best = 0;
  for (let i = 1; i < steps.length; i += 1) {
    if (distance(steps[i]) < distance(steps[best])) best = i;
  }
  return best;
}

function number(value) {
  const large = Math.abs(value) >= 1000;
  const text = String(Number((large ? value / 1000 : value).toPrecision(3)));
  return `${text}${large ? "k" : ""}`.replace("-", "−");
}

function element(name, attributes, text) {
  const made = document.createElementNS(svgNamespace, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function coloured(made, property, colour) {
  made.style[property] = colour;
  return made;
}
