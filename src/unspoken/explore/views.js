/* What is shown of one problem at one step. */

const SLOT_WORD = { thought: "thought", pause: "pause", step: "step", none: "thought" };

const card = (kind, title, ...children) => el("section", { class: `card ${kind}` }, el("h3", {}, title), ...children);

function afterWords(k) {
  if (page.slot === "none") return "at the end of the question";
  if (page.slot === "step") return k ? `after ${plural(k, "written step")}` : "before the first step";
  return k ? `after ${plural(k, SLOT_WORD[page.slot])}` : `before the first ${SLOT_WORD[page.slot]}`;
}

/* What a model wrote, with its verdict; text only. */
function writtenBlock(wrote, { results = null } = {}) {
  if (!wrote) return el("p", { class: "muted" }, "nothing here");
  const text = wrote.text.trim();
  return el(
    "div", { class: "wrote" },
    el("pre", {}, text === "" ? el("span", { class: "muted" }, "(nothing)") : results ? highlighted(text, results) : text),
    el("p", { class: "wrote-verdict" }, mark(wrote.right), " ", wrote.answer === "" ? el("span", { class: "muted" }, "no answer") : el("strong", {}, shortened(wrote.answer)),
      wrote.path ? badge("path", wrote.path) : null),
  );
}

const isWordPart = (letter) => letter !== undefined && /[\p{L}\p{N}.]/u.test(letter);

/* Text in which the intermediate results of a chain are marked. */
function highlighted(text, results) {
  const wanted = [...new Set(results)].filter((result) => result !== "").sort((a, b) => b.length - a.length);
  const parts = [];
  let plain = "";
  for (let i = 0; i < text.length; ) {
    const found = isWordPart(text[i - 1]) ? undefined : wanted.find((result) => text.startsWith(result, i) && !/[\p{L}\p{N}]/u.test(text[i + result.length] || ""));
    if (found) {
      parts.push(plain, el("mark", {}, found));
      plain = "";
      i += found.length;
    } else plain += text[i++];
  }
  return [...parts, plain];
}

/* Where a token's text is a node's name or an intermediate result, that is said beside it. */
function tokenNote(problem, stop, text) {
  const name = text.trim();
  if (problem.graph) {
    const { names, hops, root, right, wrong } = problem.graph;
    const node = names.indexOf(name);
    if (node < 0) return null;
    if (node === right) return "right option";
    if (node === wrong) return "wrong option";
    if (node === root) return "asked about";
    if (stop.hops !== undefined && hops[node] === stop.hops) return "frontier";
    return hops[node] < 0 ? "unreachable" : plural(hops[node], "hop");
  }
  const step = problem.results.findIndex((results) => results.includes(name));
  return step < 0 ? null : `step ${step + 1}`;
}

const NOTE_KIND = { frontier: "frontier", "right option": "right", "wrong option": "wrong" };

function tokenBars(problem, stop, tokens) {
  return el("div", { class: "bars" }, tokens.map(([text, share]) => {
    const note = tokenNote(problem, stop, text);
    const kind = note === null ? "" : note.startsWith("step") ? "result" : NOTE_KIND[note] || "";
    return barRow(el("code", {}, shownToken(text)), share, { kind, note: note || "", title: `${JSON.stringify(text)}: ${share}` });
  }));
}

function decodedCard(problem, stop, k) {
  if (page.slot === "thought" || page.slot === "pause") {
    const word = SLOT_WORD[page.slot];
    return card("decoded", k ? `${word[0].toUpperCase()}${word.slice(1)} ${k} decodes to` : `No ${word} yet`,
      k ? tokenBars(problem, stop, stop.decoded) : el("p", { class: "muted" }, `Only the question and the marker that opens the ${word}s have been read. Go on with →.`));
  }
  return null;
}

function valuesCard(problem, stop) {
  const { names, hops, root, right, wrong } = problem.graph;
  const total = stop.values.reduce((sum, value) => sum + value, 0);
  const order = names.map((_, node) => node).sort((a, b) => stop.values[b] - stop.values[a]);
  const rows = order.map((node) => {
    const isFrontier = stop.hops !== undefined && hops[node] === stop.hops;
    const kind = node === right ? "right" : node === wrong ? "wrong" : isFrontier ? "frontier" : "";
    const note = node === right ? "✓ right option" : node === wrong ? "✗ wrong option" : node === root ? "? asked about" : isFrontier ? "frontier" : hops[node] < 0 ? "unreachable" : plural(hops[node], "hop");
    return barRow(names[node], Math.min(1, stop.values[node]), { kind, note, title: `${names[node]}: ${stop.values[node]}` });
  });
  const shown = 8;
  const spread = stop.breadth
    ? el("p", { class: "spread" }, "Of the value, ", el("strong", {}, percent(stop.breadth.frontier, 0)), " is on the frontier, ", el("strong", {}, percent(stop.breadth.reachable, 0)),
        " on other reachable nodes, ", el("strong", {}, percent(stop.breadth.elsewhere, 0)), " elsewhere.",
        // Of next to nothing it would mean nothing.
        stop.breadth.frontier < 0.01 ? null : [" Effective candidates: ", el("strong", {}, stop.breadth.candidates.toFixed(2)), ` of ${hops.filter((distance) => distance === stop.hops).length}.`])
    : el("p", { class: "spread muted" }, "A right chain has ended before this point.");
  return card("values", "Value of each node", el("div", { class: "bars" }, rows.slice(0, shown)),
    rows.length > shown ? el("details", { class: "more" }, el("summary", {}, `${rows.length - shown} more`), el("div", { class: "bars" }, rows.slice(shown))) : null,
    el("p", { class: "muted" }, `All names together: ${number(Math.min(1, total))}`), spread);
}

/* For problems without a graph: every thought beside the chain it may stand for. */
function chainCard(problem, k, go) {
  const all = problem.results.flat();
  const rows = problem.stops.map((stop, i) => {
    const tokens = i && (page.slot === "thought" || page.slot === "pause") ? stop.decoded : stop.said;
    const word = SLOT_WORD[page.slot];
    const head = page.slot === "none" ? "question" : i ? `${word} ${i}` : "start";
    return el("li", { class: i === k ? "now" : null },
      el("button", { type: "button", class: "lens-head", "aria-current": i === k ? "step" : null, onclick: () => go(i) }, head),
      el("span", { class: "chips" }, tokens.map(([text, share]) => {
        const note = tokenNote(problem, stop, text);
        return el("span", { class: `chip ${note ? "result" : ""}`, title: `${JSON.stringify(text)}: ${share}${note ? `, result of ${note}` : ""}` },
          el("code", {}, shownToken(text)), el("small", {}, number(share)), note ? el("b", {}, note) : null);
      })));
  });
  const steps = problem.steps.filter((step) => step.trim() !== "");
  return el("section", { class: "card chain" },
    el("p", { class: "muted" }, "These problems have no graph, so there are no nodes to value. Decoded tokens stand beside the steps; a token that is the result of a step is marked."),
    el("div", { class: "chain-columns" },
      el("div", {}, el("h3", {}, page.slot === "thought" || page.slot === "pause" ? `What each ${SLOT_WORD[page.slot]} decodes to` : "What the model would write next"), el("ol", { class: "lens" }, rows)),
      el("div", {}, el("h3", {}, "The chain that counts as right"),
        steps.length ? el("ol", { class: "steps" }, problem.steps.map((step) => el("li", {}, highlighted(step, all)))) : el("p", { class: "muted" }, "no steps"),
        el("p", {}, "Answer: ", el("strong", {}, problem.answer)))));
}

function answersCard(problem) {
  const steps = problem.steps.filter((step) => step.trim() !== "");
  const all = problem.results.flat();
  return card("answers", "Final answers",
    el("div", { class: "answer" }, el("h4", {}, capital(page.method)), writtenBlock(problem.final, { results: all })),
    page.beside && problem.beside ? el("div", { class: "answer" }, el("h4", {}, `${page.beside.method} beside it`), writtenBlock(problem.beside, { results: all })) : null,
    el("div", { class: "answer" }, el("h4", {}, "Right"), el("pre", {}, [...steps.map((step) => step.trim()), problem.answer].join(problem.graph && problem.graph.names.includes(problem.answer) ? " " : "\n"))));
}

function forcedCard(problem, stop, k) {
  const title = page.slot === "none" ? "What it writes" : page.slot === "step" ? `Given ${k ? plural(k, "right step") : "no step"}, it writes` : `Made to write words ${afterWords(k)}`;
  return card("forced", title, writtenBlock(stop.wrote, { results: problem.results.flat() }),
    el("h4", {}, page.slot === "thought" || page.slot === "pause" ? "First word after the marker" : "First word"), tokenBars(problem, stop, stop.said));
}
