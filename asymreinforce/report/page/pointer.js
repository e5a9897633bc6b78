
// What the pointer and the arrow keys do in a panel: a line to the fore, a value beside it.
function followPointer(svg, chart) {
  const leave = () => chart.focus(null, null);
  svg.addEventListener("pointermove", (event) => point(chart, event));
  svg.addEventListener("pointerdown", (event) => point(chart, event));
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => move(chart, event));
}

// Focus the point of a line that is nearest to the pointer.
function point({ box, panel, place, shown, focus }, event) {
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

// Focus the next point of a line, or the next line, by an arrow key.
function move({ panel, shown, at, focus }, event) {
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

function focusOn(chart, group, step) {
  const { box, tip, parts, shown } = chart;
  const svg = box.querySelector("svg");
  if (!svg) return;
  chart.at = group === null || step === null ? null : { group, step };
  svg.classList.toggle("focused", group !== null && parts.has(group));
  for (const [own, part] of parts) part.classList.toggle("focus", own === group);
  if (parts.has(group)) svg.insertBefore(parts.get(group), svg.querySelector(".at"));
  svg.querySelector(".at").replaceChildren();
  const line = shown.find(([own]) => own === group);
  const i = line && step !== null ? nearestKnown(chart, line, step) : null;
  tip.hidden = i === null;
  if (i !== null) tell(svg, chart, line, i);
}

// Return where a line is nearest to a step; null if it has no value there.
function nearestKnown({ panel }, [, axis, mean], step) {
  const i = nearest(panel.axes[axis], (own) => Math.abs(own - step));
  return mean[i] === null ? null : i;
}

// Mark a point, and write its value beside it.
function tell(svg, { box, tip, panel, place, data }, [group, axis, mean, lowest, highest], i) {
  const of = data.groups[group];
  const step = panel.axes[axis][i];
  const [x, y] = [place.x(step), place.y(mean[i])];
  const rule = element("line", { x1: x, x2: x, y1: 8, y2: place.height - BELOW, class: "rule" });
  const dot = coloured(element("circle", { cx: x, cy: y, r: 4 }), "fill", `var(--${of.colour})`);
  svg.querySelector(".at").append(rule, dot);
  const unit = panel.unit === "%" ? "%" : panel.unit && ` ${panel.unit}`;
  const lines = [of.name, `step ${step}: ${number(mean[i])}${unit}`];
  if (lowest) lines.push(`${of.seeds} seeds: ${number(lowest[i])} to ${number(highest[i])}`);
  tip.replaceChildren(
    ...lines.map((text) => Object.assign(document.createElement("div"), { textContent: text })),
  );
  const room = box.clientWidth - tip.offsetWidth;
  const left = x + 12 > room ? x - 12 - tip.offsetWidth : x + 12;
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${Math.max(0, y - tip.offsetHeight - 10)}px`;
}

function nearest(steps, distance) {
  let best = 0;
  for (let i = 1; i < steps.length; i += 1) {
    if (distance(steps[i]) < distance(steps[best])) best = i;
  }
  return best;
}
