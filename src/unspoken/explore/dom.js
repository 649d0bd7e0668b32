/* Elements. Data is only ever set as text, never parsed as markup. */

const SVG = "http://www.w3.org/2000/svg";

/* What `explore/payload.py` describes. */
const page = JSON.parse(document.getElementById("data").textContent);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child);
  }
  return node;
}

const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);

const percent = (share, digits = 1) => (100 * share).toFixed(digits) + " %";
const number = (value) => (value >= 0.9995 ? "1.00" : value < 0.0005 ? "0" : value < 0.01 ? value.toFixed(3) : value.toFixed(2));
const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
const plural = (num, what) => `${num} ${what}${num === 1 ? "" : "s"}`;

const shortened = (text, most = 120) => (text.length > most ? text.slice(0, most) + "…" : text);

/* A token with its invisible characters visible. */
function shownToken(text) {
  const shown = text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").trim();
  return shown === "" ? "␣" : shown;
}

const mark = (right) =>
  el("span", { class: right ? "mark right" : "mark wrong", role: "img", "aria-label": right ? "right" : "wrong" }, right ? "✓" : "✗");

const badge = (kind, ...children) => el("span", { class: `badge ${kind}` }, ...children);

/* A labelled bar; `share` from 0 to 1. */
function barRow(label, share, { kind = "", note = null, title = null } = {}) {
  return el(
    "div", { class: `bar-row ${kind}`, title },
    el("span", { class: "bar-label" }, label),
    el("span", { class: "bar-track", "aria-hidden": "true" }, el("span", { class: "bar-fill", style: `width:${(100 * share).toFixed(2)}%` })),
    el("span", { class: "bar-number" }, number(share)),
    note === null ? null : el("span", { class: "bar-note" }, note),
  );
}
