
// Training curves: lines that can be hidden, and a value under the pointer for the same line and
// step in every panel. Data come from curve_data.py; no text is ever parsed as markup.
const MOST_BANDS = 12;
const MOST_NAMES = 8;
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

// Return what redraws a panel, and what brings a line of it to the fore.
function makeChart(figure, panel, data, hidden, focus) {
  const box = figure.querySelector(".drawing");
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  const chart = { box, tip, panel, data, focus, place: null, shown: [], parts: new Map(), at: null };
  return {
    draw: () => drawChart(chart, hidden),
    focus: (group, step) => focusOn(chart, group, step),
  };
}

function drawChart(chart, hidden) {
  const { box, tip, panel, data } = chart;
  const width = box.clientWidth;
  if (!width) return;
  chart.shown = panel.lines.filter(([group]) => !hidden.has(group));
  const named = chart.shown.length <= MOST_NAMES && width > 300;
  const banded = chart.shown.length <= MOST_BANDS;
  const values = chart.shown.flatMap(([, , ...series]) => (banded ? series.flat() : series[0]));
  const known = values.filter((value) => value !== null);
  const names = named ? chart.shown.map(([group]) => shortName(data.groups[group])) : [];
  chart.place = scales(panel, known, width, names);
  const { height } = chart.place;
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  svg.setAttribute("aria-labelledby", `title-${panel.name}`);
  svg.setAttribute("tabindex", "0");
  frame(svg, chart.place, panel.symlog);
  if (panel.name === "accuracy" && data.behaviour !== null) drawBehaviour(svg, chart);
  chart.parts = new Map(chart.shown.map((line) => [line[0], drawLine(svg, chart, line, banded)]));
  if (named) nameEnds(svg, chart);
  svg.append(element("g", { class: "at" }));
  followPointer(svg, chart);
  box.replaceChildren(svg, tip);
  tip.hidden = true;
}
