
// Where a panel's values lie: its limits, its ticks, and its empty frame.
const LEFT = 46;
const BELOW = 36;
const NAME_ROOM = 12;
const LETTER = 7.2;

// Return the places of steps and values in a panel of a width; `names` stand at its right.
function scales(panel, values, width, names) {
  const warp = panel.symlog ? (v) => Math.sign(v) * Math.log10(1 + Math.abs(v)) : (v) => v;
  const height = Math.round(Math.min(300, Math.max(210, width * 0.62)));
  const [low, high] = range(values, panel.unit === "%", panel.symlog);
  const last = Math.max(1, ...panel.axes.map((steps) => steps.at(-1)));
  const longest = Math.max(0, ...names.map((name) => name.length));
  const right = width - (names.length ? NAME_ROOM + LETTER * longest : 10);
  const share = (value) => (warp(value) - warp(low)) / (warp(high) - warp(low));
  return {
    x: (step) => LEFT + (step / last) * (right - LEFT),
    y: (value) => height - BELOW - share(value) * (height - BELOW - 10),
    low,
    high,
    last,
    width,
    height,
    right,
  };
}

function frame(svg, { x, y, low, high, last, height, right }, symlog) {
  const marks = apart(symlog ? powers(low, high) : ticks(low, high, 5), y, 15);
  for (const mark of marks) {
    svg.append(element("line", { x1: LEFT, x2: right, y1: y(mark), y2: y(mark), class: "grid" }));
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

function number(value) {
  const large = Math.abs(value) >= 1000;
  const text = String(Number((large ? value / 1000 : value).toPrecision(3)));
  return `${text}${large ? "k" : ""}`.replace("-", "−");
}
