/* State, list, keys. */

const state = { at: 0, k: 0, intervention: -1, visible: [] };
const THEMES = ["auto", "light", "dark"];
const SHOWN_IN_LIST = 90;

/* ------------------------------------------------------------------------------------------------------- theme */

function stored(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme];
  byId("theme").setAttribute("aria-label", `Theme: ${theme}`);
  try { localStorage.setItem("unspoken-theme", theme); } catch { /* a file opened from disk may have no storage */ }
}

const nextTheme = () => setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme || "auto") + 1) % THEMES.length]);

/* -------------------------------------------------------------------------------------------------------- list */

/* Where another question is asked, another answer says nothing about thoughts. */
const ofThoughts = page.interventions.map((_, i) => i).filter((i) => !page.interventions[i].asks_other);
const changedBy = (problem, i) => problem.under[i] !== null && problem.under[i].answer !== problem.final.answer;

/* Every filter: what it is called, and which problems it shows. */
function filters() {
  const found = [
    ["", [["All", () => true], ["Right", (p) => p.final.right], ["Wrong", (p) => !p.final.right]]],
  ];
  if (page.interventions.length) {
    found.push(["Answer changed by", [["any intervention", (p) => ofThoughts.some((i) => changedBy(p, i))], ["no intervention", (p) => !ofThoughts.some((i) => changedBy(p, i))],
      ...page.interventions.map((each, i) => [capital(each.title), (p) => changedBy(p, i)])]]);
  }
  if (page.after.length > 1 && page.slot !== "step") {
    found.push(["Number of stops", [["right only after the last", (p) => p.stops.at(-1).wrote?.right && !p.stops.slice(0, -1).some((stop) => stop.wrote?.right)], ["right, then wrong", (p) => !p.stops.at(-1).wrote?.right && p.stops.some((stop) => stop.wrote?.right)]]]);
  }
  if (page.beside) {
    found.push([`Beside ${page.beside.method}`, [["right here, wrong there", (p) => p.final.right && p.beside && !p.beside.right], ["wrong here, right there", (p) => !p.final.right && p.beside && p.beside.right]]]);
  }
  if (page.paths.length) found.push(["Class", page.paths.map((name) => [name, (p) => p.final.path === name])]);
  return found;
}

let tests = [];

function buildFilters() {
  const select = byId("filter");
  for (const [group, options] of filters()) {
    const made = options.map(([name, test]) => el("option", { value: tests.push(test) - 1 }, name));
    select.append(...(group ? [el("optgroup", { label: group }, made)] : made));
  }
}

function listText(problem) {
  const graph = problem.graph;
  if (graph) return `${graph.names[graph.root]}: ${graph.names[graph.right]} or ${graph.names[graph.wrong]}?`;
  const text = problem.question.trim();
  return shortened(text, SHOWN_IN_LIST);
}

function refreshList() {
  const test = tests[Number(byId("filter").value)] || (() => true);
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  state.visible = page.problems.map((_, i) => i).filter((i) => {
    const problem = page.problems[i];
    const text = `${problem.number + 1} ${listText(problem)} ${problem.question} ${problem.answer}`.toLowerCase();
    return test(problem) && words.every((word) => (/^\d+$/.test(word) ? String(problem.number + 1).startsWith(word) || text.includes(word) : text.includes(word)));
  });
  byId("count").textContent = state.visible.length === page.problems.length ? `${page.problems.length}` : `${state.visible.length} of ${page.problems.length}`;
  const rows = document.createDocumentFragment();
  for (const i of state.visible) {
    const problem = page.problems[i];
    rows.append(el("button", { type: "button", class: "item", "data-index": i },
      el("span", { class: "item-number" }, String(problem.number + 1)), el("span", { class: "item-text" }, listText(problem)), mark(problem.final.right)));
  }
  if (!state.visible.length) rows.append(el("p", { class: "muted none" }, "No problem fits."));
  byId("list").replaceChildren(rows);
  markInList();
}

function markInList() {
  const list = byId("list");
  list.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const item = list.querySelector(`[data-index="${state.at}"]`);
  if (!item) return;
  item.setAttribute("aria-current", "true");
  const [top, bottom] = [item.offsetTop - list.offsetTop, item.offsetTop - list.offsetTop + item.offsetHeight];
  if (top < list.scrollTop || bottom > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
}

/* ----------------------------------------------------------------------------------------------------- problem */

let graphView = null;
let table = null;
let figures = null;

const problemNow = () => page.problems[state.at];
const lastStep = (problem) => problem.stops.length - 1;

function verdicts(problem) {
  const parts = [badge(problem.final.right ? "right" : "wrong", problem.final.right ? "✓ right" : "✗ wrong")];
  if (page.beside && problem.beside) parts.push(badge(problem.beside.right ? "right" : "wrong", `${problem.beside.right ? "✓" : "✗"} ${page.beside.method}`));
  const changed = ofThoughts.filter((i) => changedBy(problem, i)).length;
  if (ofThoughts.length) parts.push(badge("changed", changed ? `changed by ${changed} of ${plural(ofThoughts.length, "intervention")}` : "no intervention changes it"));
  return parts;
}

function askedBlock(problem) {
  const graph = problem.graph;
  if (!graph) return [el("p", { class: "question" }, problem.question)];
  return [
    el("p", { class: "question" }, "From ", el("strong", {}, graph.names[graph.root]), ": ", badge("right", `✓ ${graph.names[graph.right]}`), " or ", badge("wrong", `✗ ${graph.names[graph.wrong]}`)),
    el("details", { class: "more" }, el("summary", {}, "The problem as the model reads it"), el("p", { class: "read" }, problem.question)),
  ];
}

function buildStrip(problem) {
  byId("strip").replaceChildren(...problem.stops.map((stop, k) => {
    const decoded = page.slot === "thought" || page.slot === "pause" ? (k ? stop.decoded : []) : stop.said;
    const word = decoded.length ? shownToken(decoded[0][0]) : "·";
    return el("button", { type: "button", class: "pearl", "data-k": k, title: `${afterWords(k)}${decoded.length ? `; decodes to ${JSON.stringify(decoded[0][0])}` : ""}`, "aria-label": `${afterWords(k)}${stop.wrote ? `, answer ${stop.wrote.right ? "right" : "wrong"}` : ""}`, onclick: () => goStep(k) },
      el("span", { class: "pearl-k" }, String(k)), el("code", {}, word), stop.wrote ? mark(stop.wrote.right) : null);
  }));
}

/* Beside the values on wide screens, above them on others; see style.css. */
function roomForGraph() {
  const all = byId("views").clientWidth - 36;
  return matchMedia("(min-width: 1240px)").matches ? all - 346 : all;
}

function stripNote() {
  const word = SLOT_WORD[page.slot];
  if (page.slot === "step") return "Each place: how many right steps are given, the likeliest next token, and whether the answer then is right.";
  return `Each place: how many ${word}s, what the last of them decodes to, and whether the answer is right when words are written from there.`;
}

function showProblem() {
  const problem = problemNow();
  state.k = Math.min(state.k, lastStep(problem));
  const place = state.visible.indexOf(state.at);
  byId("problem-title").replaceChildren(`Problem ${problem.number + 1}`, el("small", { class: "muted" }, place >= 0 ? ` ${place + 1} of ${state.visible.length}` : " not in the list"));
  byId("verdicts").replaceChildren(...verdicts(problem));
  byId("asked").replaceChildren(...askedBlock(problem));
  buildStrip(problem);
  const slider = byId("slider");
  slider.max = String(lastStep(problem));
  document.querySelector(".stepper").hidden = lastStep(problem) === 0;
  const readout = el("p", { class: "readout muted" }, "Point at a node to read its value.");
  graphView = problem.graph ? new GraphView(problem, roomForGraph(), (node) => { readout.textContent = graphView.describe(problemNow().stops[state.k], node); }) : null;
  const views = byId("views");
  views.classList.toggle("with-graph", graphView !== null);
  views.replaceChildren();
  if (graphView) {
    const figure = () => ({
      root: graphView.root, name: `problem-${problem.number + 1}-after-${state.k}`,
      title: `Problem ${problem.number + 1}: values ${afterWords(state.k)}`, entries: [],
    });
    views.append(el("figure", { class: "card graph-card" },
      el("figcaption", {}, el("h3", { id: "graph-title" }), saveButton(figure)),
      el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Graph" }, graphView.root), graphLegend(), readout));
  }
  views.append(el("div", { id: "step-views", class: "step-views" }), el("div", { class: "said-views" }, el("div", { id: "forced-view" }), answersCard(problem)));
  markInList();
  showStep();
}

function showStep() {
  const problem = problemNow();
  const stop = problem.stops[state.k];
  byId("strip-note").textContent = stripNote();
  byId("slider").value = String(state.k);
  byId("slider").setAttribute("aria-valuetext", afterWords(state.k));
  byId("slider").setAttribute("aria-label", `${SLOT_WORD[page.slot]}s so far`);
  byId("step-now").replaceChildren(el("strong", {}, afterWords(state.k)), el("span", { class: "muted" }, ` of ${lastStep(problem)}`));
  byId("back").disabled = state.k === 0;
  byId("forward").disabled = state.k === lastStep(problem);
  for (const pearl of byId("strip").children) {
    if (Number(pearl.dataset.k) !== state.k) pearl.removeAttribute("aria-current");
    else {
      pearl.setAttribute("aria-current", "step");
      const strip = byId("strip");
      strip.scrollLeft = pearl.offsetLeft - strip.offsetLeft - (strip.clientWidth - pearl.offsetWidth) / 2;
    }
  }
  const views = byId("step-views");
  if (graphView) {
    const frontier = stop.hops === undefined ? 0 : problem.graph.hops.filter((distance) => distance === stop.hops).length;
    byId("graph-title").replaceChildren(`Values ${afterWords(state.k)}`, el("small", { class: "muted" }, frontier ? ` frontier: ${plural(frontier, "node")}, ${plural(stop.hops, "hop")} away` : " the chain has ended here"));
    graphView.show(stop, afterWords(state.k));
    views.replaceChildren(...[valuesCard(problem, stop), decodedCard(problem, stop, state.k)].filter(Boolean));
  } else {
    views.replaceChildren(chainCard(problem, state.k, goStep));
  }
  byId("forced-view").replaceChildren(forcedCard(problem, stop, state.k));
  table?.show(problem, state.intervention);
  figures.show(state.k);
  remember();
}

/* --------------------------------------------------------------------------------------------------- moving on */

function goStep(k) {
  state.k = Math.max(0, Math.min(lastStep(problemNow()), k));
  showStep();
}

function goProblem(index) {
  state.at = index;
  showProblem();
}

/* To the neighbour in the list; from a problem that is not in the list, to the nearest that is. */
function goNeighbour(by) {
  if (!state.visible.length) return;
  const place = state.visible.indexOf(state.at);
  if (place >= 0) goProblem(state.visible[(place + by + state.visible.length) % state.visible.length]);
  else goProblem(by > 0 ? state.visible.find((i) => i > state.at) ?? state.visible[0] : state.visible.findLast((i) => i < state.at) ?? state.visible.at(-1));
}

function chooseIntervention(index) {
  state.intervention = index;
  table.show(problemNow(), index);
  remember();
}

/* The address says what is shown, so that it can be pointed at. */
function remember() {
  const parts = [`problem=${problemNow().number + 1}`, `k=${state.k}`];
  if (state.intervention >= 0) parts.push(`under=${encodeURIComponent(page.interventions[state.intervention].name)}`);
  history.replaceState(null, "", "#" + parts.join("&"));
}

function recall() {
  const said = new URLSearchParams(location.hash.slice(1));
  const at = page.problems.findIndex((problem) => problem.number + 1 === Number(said.get("problem")));
  state.at = Math.max(0, at);
  const steps = lastStep(page.problems[state.at]);
  const k = said.has("k") ? Number(said.get("k")) : Math.min(1, steps);
  state.k = Number.isInteger(k) ? Math.max(0, Math.min(steps, k)) : 0;
  state.intervention = page.interventions.findIndex((each) => each.name === said.get("under"));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  const target = event.target;
  const typing = target.matches("input[type=search], select, textarea");
  if (typing) {
    if (event.key === "Escape") target.blur();
    return;
  }
  // A slider and a group of radio buttons have arrow keys of their own.
  const arrows = target.matches("input");
  const scrolls = target.matches(".scroll") && target.scrollWidth > target.clientWidth;
  const does = {
    ArrowLeft: arrows || scrolls ? null : () => goStep(state.k - 1),
    ArrowRight: arrows || scrolls ? null : () => goStep(state.k + 1),
    ArrowUp: arrows ? null : () => goNeighbour(-1),
    ArrowDown: arrows ? null : () => goNeighbour(1),
    Home: arrows ? null : () => goStep(0),
    End: arrows ? null : () => goStep(lastStep(problemNow())),
    i: page.interventions.length ? () => chooseIntervention(((state.intervention + 2) % (page.interventions.length + 1)) - 1) : null,
    "/": () => { byId("side-fold").open = true; byId("search").focus(); },
    t: nextTheme,
    "?": () => byId("keys").showModal(),
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
}

/* ------------------------------------------------------------------------------------------------------- start */

function start() {
  byId("title").textContent = page.run;
  const weights = `${page.weights} weights`;
  byId("subtitle").textContent = [`${capital(page.method)} on ${page.task}`, `${page.on ? `${page.on}, ` : ""}${page.split}, ${plural(page.problems.length, "problem")}`, `accuracy ${showRange(page.accuracy)}`, weights].join(" · ");
  byId("footer").textContent = `Made with unspoken ${page.version}${page.commit ? ` (${page.commit.slice(0, 7)})` : ""} from ${page.recipe}; ${weights}, seed ${page.seed}. Intervals are 95 %.`;
  const theme = stored("unspoken-theme");
  setTheme(THEMES.includes(theme) ? theme : "auto");
  buildFilters();
  figures = overallFigures();
  byId("figures").append(...figures.cards);
  byId("figures").dataset.count = figures.cards.length;
  if (page.interventions.length) {
    table = interventionTable(chooseIntervention);
    byId("interventions").append(table.root);
  } else byId("interventions").append(el("p", { class: "muted" }, page.why_no_interventions));
  recall();
  if (matchMedia("(max-width: 860px)").matches) byId("side-fold").open = false;
  refreshList();
  showProblem();

  byId("search").addEventListener("input", () => { refreshList(); showProblem(); });
  byId("filter").addEventListener("change", () => {
    refreshList();
    if (state.visible.length && !state.visible.includes(state.at)) state.at = state.visible[0];
    showProblem();
  });
  byId("list").addEventListener("click", (event) => {
    const item = event.target.closest("[data-index]");
    if (item) goProblem(Number(item.dataset.index));
  });
  byId("previous").addEventListener("click", () => goNeighbour(-1));
  byId("next").addEventListener("click", () => goNeighbour(1));
  byId("back").addEventListener("click", () => goStep(state.k - 1));
  byId("forward").addEventListener("click", () => goStep(state.k + 1));
  byId("slider").addEventListener("input", (event) => goStep(Number(event.target.value)));
  byId("theme").addEventListener("click", nextTheme);
  byId("help").addEventListener("click", () => byId("keys").showModal());
  addEventListener("keydown", onKey);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) showProblem();
    width = innerWidth;
  });
  addEventListener("hashchange", () => { recall(); showProblem(); });
}

start();
