
// The lines of a panel, their bands, and the names at their ends.
const LONGEST_NAME = 11;
const svgNamespace = document.querySelector("svg")?.namespaceURI;

function drawBehaviour(svg, { place, data }) {
  const y = place.y(data.behaviour);
  const line = { x1: LEFT, x2: place.right, y1: y, y2: y, class: "mu" };
  const colour = `var(--${data.behaviourColour})`;
  svg.append(coloured(element("line", line), "stroke", colour));
  const text = element("text", { x: place.right - 3, y: y - 4, class: "mu" }, "µ");
  svg.append(coloured(text, "fill", colour));
}

function drawLine(svg, { place, panel, data }, [group, axis, mean, lowest, highest], banded) {
  const of = data.groups[group];
  const steps = panel.axes[axis];
  const part = element("g", { class: "line" });
  const colour = `var(--${of.colour})`;
  if (banded && lowest) {
    const edge = [...points(place, steps, highest), ...points(place, steps, lowest).reverse()];
    const band = element("path", { d: `M${edge.join("L")}Z`, class: "band" });
    part.append(coloured(band, "fill", colour));
  }
  const attributes = { d: path(points(place, steps, mean)), "stroke-width": of.width };
  if (of.dashes) attributes["stroke-dasharray"] = of.dashes;
  part.append(coloured(element("path", attributes), "stroke", colour));
  svg.append(part);
  return part;
}

function points(place, steps, values) {
  return steps.flatMap((step, i) =>
    values[i] === null ? [] : [`${place.x(step).toFixed(1)} ${place.y(values[i]).toFixed(1)}`],
  );
}

function path(joined) {
  return joined.length === 1 ? `M${joined[0]}h0.1` : `M${joined.join("L")}`;
}

function shortName({ name }) {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
}

// Write names beside the ends of lines, pushed apart, above the numbers of the axis below.
function nameEnds(svg, { place, shown, data }) {
  const ends = shown
    .map(([group, , mean]) => ({ group, y: place.y(mean.findLast((v) => v !== null) ?? 0) }))
    .sort((a, b) => a.y - b.y);
  for (let i = 1; i < ends.length; i += 1) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + 14);
  let floor = place.height - BELOW - 2;
  for (const end of ends.reverse()) floor = (end.y = Math.min(end.y, floor)) - 14;
  for (const { group, y } of ends) {
    const of = data.groups[group];
    const text = element("text", { x: place.right + 6, y: y + 4, class: "name" }, shortName(of));
    svg.append(coloured(text, "fill", `var(--${of.colour})`));
  }
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
