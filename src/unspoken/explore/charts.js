/* Figures over all problems, drawn from numbers. Every series differs in mark and dash as well as in colour. */

const WIDE = 360;
const HIGH = 230;
const EDGE = { left: 44, right: 12, top: 12, bottom: 40 };
const MARKS = [
  (x, y) => svg("circle", { cx: x, cy: y, r: 4 }),
  (x, y) => svg("rect", { x: x - 3.6, y: y - 3.6, width: 7.2, height: 7.2 }),
  (x, y) => svg("path", { d: `M${x},${y - 4.8} L${x + 4.6},${y + 3.6} L${x - 4.6},${y + 3.6} Z` }),
  (x, y) => svg("path", { d: `M${x - 4},${y - 1.2} h8 v2.4 h-8 Z` }),
];

const onX = (i, num) => EDGE.left + (WIDE - EDGE.left - EDGE.right) * ((i + 0.5) / num);
const onY = (value, most) => HIGH - EDGE.bottom - (HIGH - EDGE.top - EDGE.bottom) * (value / most);

function frame(labels, most, ticks, tickText, xTitle, name) {
  const root = svg("svg", { class: "chart", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": name });
  const step = (WIDE - EDGE.left - EDGE.right) / labels.length;
  const now = svg("rect", { class: "now", x: 0, y: EDGE.top, width: step, height: HIGH - EDGE.top - EDGE.bottom, rx: 4 });
  root.append(now);
  for (const tick of ticks) {
    const y = onY(tick, most);
    root.append(svg("line", { class: "grid", x1: EDGE.left, x2: WIDE - EDGE.right, y1: y, y2: y }),
      svg("text", { class: "tick", x: EDGE.left - 7, y: y + 4, "text-anchor": "end" }, tickText(tick)));
  }
  labels.forEach((label, i) => root.append(svg("text", { class: "tick", x: onX(i, labels.length), y: HIGH - EDGE.bottom + 17, "text-anchor": "middle" }, label)));
  root.append(svg("text", { class: "axis", x: (EDGE.left + WIDE - EDGE.right) / 2, y: HIGH - 6, "text-anchor": "middle" }, xTitle));
  root.showStep = (k) => now.setAttribute("x", EDGE.left + step * Math.min(k, labels.length - 1));
  return root;
}

/* series: [{name, points: [Range or null]}]; levels: [{name, value, kind}] are horizontal lines. */
function lineChart({ name, labels, xTitle, series, levels = [], most, ticks, tickText }) {
  const root = frame(labels, most, ticks, tickText, xTitle, name);
  levels.forEach((level) => {
    const y = onY(level.value, most);
    root.append(svg("line", { class: `level ${level.kind}`, x1: EDGE.left, x2: WIDE - EDGE.right, y1: y, y2: y }));
  });
  series.forEach(({ points }, s) => {
    const group = svg("g", { class: `series series-${s}` });
    // Neighbouring series stand a little apart, so that their intervals do not hide each other.
    const shift = (s - (series.length - 1) / 2) * 5;
    const found = points.map((range, i) => (range && range.mean !== null ? { range, x: onX(i, labels.length) + shift } : null));
    let path = "";
    found.forEach((point, i) => {
      if (point) path += `${i && found[i - 1] ? "L" : "M"}${point.x},${onY(point.range.mean, most)} `;
    });
    group.append(svg("path", { class: "line", d: path || "M0,0" }));
    for (const point of found) {
      if (!point) continue;
      const { range, x } = point;
      if (range.low !== null) {
        const [low, high] = [onY(range.low, most), onY(Math.min(range.high, most), most)];
        group.append(svg("path", { class: "whisker", d: `M${x},${low} V${high} M${x - 3},${low} h6 M${x - 3},${high} h6` }));
      }
      group.append(fill(MARKS[s % MARKS.length](x, onY(range.mean, most)), { class: "point" }, [
        svg("title", {}, `${series[s].name}, ${labels[points.indexOf(range)]}: ${range.mean} [${range.low}, ${range.high}], ${plural(range.num, "problem")}`),
      ]));
    }
    root.append(group);
  });
  return root;
}

/* Of GSM8K's eight classes the first four are right: theirs are the cool colours, see style.css. */
const stackKind = (i) => (page.paths[0]?.startsWith("right answer") ? [0, 1, 4, 6, 2, 3, 5, 7][i] : i);

/* rows: one list of counts a column, in the order of `classes`. */
function stackChart({ name, labels, xTitle, classes, rows }) {
  const root = frame(labels, 1, [0, 0.25, 0.5, 0.75, 1], (tick) => String(100 * tick), xTitle, name);
  const width = Math.min(40, ((WIDE - EDGE.left - EDGE.right) / labels.length) * 0.72);
  rows.forEach((counts, i) => {
    const sum = counts.reduce((a, b) => a + b, 0) || 1;
    let below = 0;
    counts.forEach((count, c) => {
      if (!count) return;
      const [bottom, top] = [onY(below / sum, 1), onY((below + count) / sum, 1)];
      const box = { x: onX(i, labels.length) - width / 2, y: top, width, height: Math.max(0, bottom - top - 0.8) };
      root.append(svg("rect", { ...box, class: `stack stack-${stackKind(c)}` }, svg("title", {}, `${labels[i]}: ${classes[c]} ${count} of ${sum}`)));
      if (bottom - top > 13) root.append(svg("text", { class: `stack-text stack-text-${stackKind(c)}`, x: box.x + width / 2, y: (top + bottom) / 2 + 3.5, "text-anchor": "middle" }, String(Math.round((100 * count) / sum))));
      below += count;
    });
  });
  return root;
}

/* What a series, a level or a class looks like, in 28 by 12. */
function legendKey(kind, index) {
  if (kind === "stack") return svg("rect", { class: `stack stack-${stackKind(index)}`, x: 4, y: 1, width: 20, height: 10, rx: 2 });
  if (kind === "level") return svg("line", { class: `level ${index}`, x1: 0, x2: 28, y1: 6, y2: 6 });
  return svg("g", { class: `series series-${index}` }, svg("path", { class: "line", d: "M0,6 H28" }), fill(MARKS[index % MARKS.length](14, 6), { class: "point" }, []));
}

const chartLegend = (entries) =>
  el("div", { class: "legend" }, entries.map(({ kind, index, name }) =>
    el("span", { class: "legend-item" }, svg("svg", { class: "key", viewBox: "0 0 28 12", "aria-hidden": "true" }, legendKey(kind, index)), name)));

/* The same numbers as a table, for readers who want or need them. */
function numbersTable(heads, rows) {
  return el("details", { class: "numbers" }, el("summary", {}, "Numbers"),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, String(cell)))))))));
}

const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "opacity", "font-size", "font-family", "font-weight", "text-anchor", "visibility"];

/* The figure as a file of its own, its styles written into it, its title above and its legend below. */
function saveSvg({ root, name, title, entries }) {
  const copy = root.cloneNode(true);
  const box = root.viewBox.baseVal;
  const columns = entries.some((entry) => entry.name.length > 22) ? 1 : 2;
  const rows = Math.ceil(entries.length / columns);
  const [above, below] = [24, rows ? 8 + 18 * rows : 0];
  const height = above + box.height + below;
  copy.append(svg("text", { class: "saved-title", x: 8, y: -8 }, title));
  copy.querySelector(".now")?.remove();
  entries.forEach(({ kind, index, name: text }, i) => {
    const at = `translate(${EDGE.left + (i % columns) * 158} ${box.height + 6 + 18 * Math.floor(i / columns)})`;
    copy.append(svg("g", { transform: at }, legendKey(kind, index), svg("text", { x: 34, y: 10 }, text)));
  });
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("viewBox", `0 ${-above} ${box.width} ${height}`);
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", height);
  // What the page's style sheet says holds for what is in the page only.
  const aside = el("div", { class: "aside", "aria-hidden": "true" }, copy);
  document.body.append(aside);
  for (const node of [copy, ...copy.querySelectorAll("*")]) {
    const style = getComputedStyle(node);
    node.setAttribute("style", KEPT.map((key) => `${key}:${style.getPropertyValue(key)}`).join(";"));
  }
  for (const node of [copy, ...copy.querySelectorAll("[class]")]) node.removeAttribute("class");
  aside.remove();
  const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
  const link = el("a", { href: url, download: `${name}.svg` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/* `what` gives the figure as it is now: {root, name, title, entries}; entries are its legend's. */
const saveButton = (what) =>
  el("button", { type: "button", class: "quiet small", title: "Save this figure as an SVG file", onclick: () => saveSvg(what()) }, "SVG");
