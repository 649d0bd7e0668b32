/* A problem's graph: drawn once, shaded anew at every step. */

const NODE_HEIGHT = 36;
const ROW = 47;

/* Square root, so that a value of 0.05 is still seen; the legend has the same scale. */
const shade = (value) => Math.sqrt(Math.max(0, Math.min(1, value)));

function edgePath(from, to, width) {
  const right = width / 2;
  if (to.x > from.x) {
    const [a, b] = [from.x + right, to.x - right - 5];
    const bend = Math.max(14, (b - a) * 0.5);
    return `M${a},${from.y} C${a + bend},${from.y} ${b - bend},${to.y} ${b},${to.y}`;
  }
  if (to.x === from.x) {
    const [a, out] = [from.x + right, from.x + right + 26];
    return `M${a},${from.y} C${out},${from.y} ${out},${to.y} ${a + 5},${to.y}`;
  }
  const [a, b] = [from.x - right, to.x + right + 5];
  const bend = Math.max(14, (a - b) * 0.5);
  return `M${a},${from.y} C${a - bend},${from.y} ${b + bend},${to.y} ${b},${to.y}`;
}

const pen = document.createElement("canvas").getContext("2d");

/* In pixels, as style.css writes the names of nodes. */
function widthOf(text) {
  pen.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

class GraphView {
  /* `room` is the width there is, in pixels; `onNode` is told what is pointed at. */
  constructor(problem, room, onNode) {
    const drawn = problem.graph;
    this.drawn = drawn;
    const signs = drawn.names.map((_, node) => (node === drawn.root ? "? " : node === drawn.right ? "✓ " : node === drawn.wrong ? "✗ " : ""));
    const width = Math.max(44, 22 + Math.ceil(Math.max(...drawn.names.map((name, node) => widthOf(signs[node] + name)))));
    const columns = 1 + Math.max(...drawn.places.map(([column]) => column));
    const pitch = Math.max(width + 34, Math.min(width + 150, columns > 1 ? (room - 16 - width) / (columns - 1) : 0));
    const rows = 1 + Math.max(...drawn.places.map(([, height]) => height));
    const at = drawn.places.map(([column, height]) => ({ x: 8 + width / 2 + column * pitch, y: 8 + NODE_HEIGHT / 2 + height * ROW }));
    const size = { width: 16 + width + (columns - 1) * pitch, height: 16 + NODE_HEIGHT + (rows - 1) * ROW };
    const onPath = new Set(drawn.path.slice(1).map((node, i) => `${drawn.path[i]},${node}`));

    const edges = svg("g", { class: "edges" });
    const order = [...drawn.edges].sort((a, b) => onPath.has(`${a}`) - onPath.has(`${b}`));
    for (const [a, b] of order) {
      const kind = onPath.has(`${a},${b}`) ? "path" : drawn.hops[a] >= 0 ? "reachable" : "elsewhere";
      edges.append(svg("path", { d: edgePath(at[a], at[b], width), class: `edge ${kind}`, "marker-end": `url(#arrow-${kind})` }));
    }
    this.nodes = drawn.names.map((name, node) => {
      const { x, y } = at[node];
      const box = { x: x - width / 2, y: y - NODE_HEIGHT / 2, width, height: NODE_HEIGHT, rx: 9 };
      const role = node === drawn.root ? "root" : node === drawn.right ? "option right" : node === drawn.wrong ? "option wrong" : "";
      const parts = {
        title: svg("title", {}),
        halo: svg("rect", { x: box.x - 4, y: box.y - 4, width: width + 8, height: NODE_HEIGHT + 8, rx: 12, class: "halo" }),
        shade: svg("rect", { ...box, class: "shade" }),
        name: svg("text", { x, y, class: "node-name" }, signs[node] + name),
        number: svg("text", { x, y: y + 12.5, class: "node-value" }),
      };
      const group = svg(
        "g", { class: `node ${role} ${drawn.hops[node] < 0 ? "elsewhere" : ""}` },
        parts.title, parts.halo, svg("rect", { ...box, class: "base" }), parts.shade, svg("rect", { ...box, class: "rim" }),
        parts.name, parts.number,
      );
      group.addEventListener("pointerenter", () => onNode(node));
      group.addEventListener("click", () => onNode(node));
      return { group, y, ...parts };
    });
    const arrows = ["path", "reachable", "elsewhere"].map((kind) =>
      svg("marker", { id: `arrow-${kind}`, viewBox: "0 0 8 8", refX: 4, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse", markerUnits: "userSpaceOnUse" },
        svg("path", { d: "M0,0.6 L7.4,4 L0,7.4 Z", class: `arrow ${kind}` })));
    this.root = svg(
      "svg", {
        class: "graph", viewBox: `0 0 ${size.width} ${size.height}`, role: "img",
        style: `min-width:${Math.round(size.width * 0.6)}px;max-width:${Math.round(size.width * 1.12)}px`,
      },
      svg("defs", {}, arrows), edges, svg("g", {}, this.nodes.map((node) => node.group)),
    );
  }

  show(stop, when) {
    const { names, hops, root } = this.drawn;
    const frontier = [];
    this.nodes.forEach((parts, node) => {
      const value = stop.values ? stop.values[node] : 0;
      const isFrontier = stop.hops !== undefined && hops[node] === stop.hops;
      if (isFrontier) frontier.push(names[node]);
      parts.shade.setAttribute("style", `fill-opacity:${shade(value).toFixed(3)}`);
      parts.group.classList.toggle("strong", shade(value) > 0.62);
      parts.group.classList.toggle("frontier", isFrontier);
      const told = value >= 0.005;
      parts.number.textContent = told ? number(value) : "";
      parts.name.setAttribute("y", parts.y + (told ? -1 : 4.5));
      parts.title.textContent = this.describe(stop, node);
    });
    const best = stop.values ? stop.values.indexOf(Math.max(...stop.values)) : root;
    this.root.setAttribute("aria-label",
      `Graph of ${names.length} nodes, asked about ${names[root]}, ${when}. Frontier: ${frontier.join(", ") || "none"}. Highest value: ${this.describe(stop, best)}.`);
  }

  describe(stop, node) {
    const { names, hops, root, right, wrong } = this.drawn;
    const where = node === root ? "asked about" : hops[node] < 0 ? "cannot be reached" : plural(hops[node], "hop") + ` from ${names[root]}`;
    const role = node === right ? ", the right option" : node === wrong ? ", the wrong option" : "";
    const frontier = stop.hops !== undefined && hops[node] === stop.hops ? ", frontier" : "";
    const value = stop.values ? `value ${stop.values[node].toFixed(4)}, ` : "";
    return `${names[node]}: ${value}${where}${role}${frontier}`;
  }
}

function graphLegend() {
  const swatch = (kind, text) => el("span", { class: "legend-item" }, el("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), text);
  const ramp = el("span", { class: "legend-item" }, "value", el("span", { class: "ramp", "aria-hidden": "true" },
    [0, 0.05, 0.2, 0.5, 1].map((value) => el("span", {}, el("i", { style: `opacity:${shade(value).toFixed(3)}` }), el("small", {}, String(value))))));
  return el("div", { class: "legend" }, ramp, swatch("frontier", "frontier"), swatch("root", "? asked about"),
    swatch("right", "✓ right option"), swatch("wrong", "✗ wrong option"), swatch("line", "a right chain"));
}
