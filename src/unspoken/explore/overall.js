/* All problems together: interventions and figures. */

const showRange = (range) => (range.mean === null ? "-" : `${percent(range.mean)} [${(100 * range.low).toFixed(1)}, ${(100 * range.high).toFixed(1)}]`);
const plainRange = (range) => (!range || range.mean === null ? "-" : range.low === null ? `${range.mean}` : `${range.mean} [${range.low}, ${range.high}]`);

const sentence = (text) => capital(text) + ".";

/* Of two options a coin takes the right one in half of all problems. */
const coin = page.problems.every((problem) => problem.graph) ? 0.5 : null;

function intervalPlot(range, clean) {
  const x = (share) => 4 + 152 * share;
  return svg("svg", { class: "interval", viewBox: "0 0 160 22", "aria-hidden": "true" },
    svg("line", { class: "interval-base", x1: 4, x2: 156, y1: 11, y2: 11 }),
    coin === null ? null : svg("line", { class: "interval-coin", x1: x(coin), x2: x(coin), y1: 2, y2: 20 }),
    svg("line", { class: "interval-clean", x1: x(clean), x2: x(clean), y1: 2, y2: 20 }),
    svg("line", { class: "interval-line", x1: x(range.low), x2: x(range.high), y1: 11, y2: 11 }),
    svg("circle", { class: "interval-point", cx: x(range.mean), cy: 11, r: 4 }));
}

/* `choose` is told the index of an intervention, -1 for none. */
function interventionTable(choose) {
  const clean = page.accuracy.mean;
  const row = (index, title, about, accuracy, changed) => {
    const radio = el("input", { type: "radio", name: "intervention", value: index, id: `intervention-${index}`, onchange: () => choose(index) });
    const here = el("span", { class: "here" });
    const item = el("label", { class: "intervention", for: `intervention-${index}`, title: about },
      el("span", { class: "intervention-name" }, radio, el("span", {}, title)), here,
      el("span", { class: "intervention-all" }, intervalPlot(accuracy, clean), el("span", { class: "num" }, percent(accuracy.mean))),
      el("span", { class: "num flips" }, changed === null ? "" : `${percent(changed.mean, 0)}`));
    return { item, radio, here };
  };
  const rows = [row(-1, "Nothing changed", "As evaluated.", page.accuracy, null),
    ...page.interventions.map((each, i) => row(i, capital(each.title), sentence(each.about), each.accuracy, each.changed))];
  const about = el("p", { class: "muted about", "aria-live": "polite" });
  const before = el("div", {}), after = el("div", {});
  const root = el("div", {},
    el("div", { class: "intervention head", "aria-hidden": "true" }, el("span", {}, "In place of the thoughts"), el("span", {}, "This problem"), el("span", {}, "Accuracy, all problems"), el("span", {}, "Changed")),
    el("div", { role: "radiogroup", "aria-label": "Intervention" }, rows.map(({ item }) => item)), about,
    el("div", { class: "before-after" }, before, after),
    page.left_out.length ? el("details", { class: "more" }, el("summary", {}, `${page.left_out.length} not possible here`), el("ul", {}, page.left_out.map((each) => el("li", {}, capital(each))))) : null);
  const show = (problem, chosen) => {
    rows.forEach(({ item, radio, here }, i) => {
      const wrote = i ? problem.under[i - 1] : problem.final;
      radio.checked = i - 1 === chosen;
      item.classList.toggle("chosen", i - 1 === chosen);
      here.replaceChildren(...(wrote ? [mark(wrote.right), " ", el("span", { class: "here-answer" }, wrote.answer || "no answer"),
        i && wrote.answer !== problem.final.answer ? badge("changed", "changed") : ""] : [el("span", { class: "muted" }, "not defined here")]));
    });
    const each = page.interventions[chosen];
    about.textContent = each ? `${sentence(each.about)}${each.asks_other ? " Right means right for the other question." : ""} Accuracy ${showRange(each.accuracy)}, without it ${showRange(page.accuracy)}; ${plural(each.accuracy.num, "problem")}.` : "Choose an intervention to see what it does to this problem. " + (coin === null ? "The vertical line is the accuracy without any." : "Vertical lines: the accuracy without any (dashed) and a coin between the two options (dotted).");
    before.replaceChildren(...(each ? [el("h4", {}, "Without"), writtenBlock(problem.final)] : []));
    after.replaceChildren(...(each ? [el("h4", {}, capital(each.title)), writtenBlock(problem.under[chosen])] : []));
  };
  return { root, show };
}

function figureCard(title, note, chart, entries, table, name) {
  return el("figure", { class: "card figure" },
    el("figcaption", {}, el("h3", {}, title), saveButton(() => ({ root: chart, name, title, entries }))), chart, chartLegend(entries), el("p", { class: "muted" }, note), table);
}

/* The figures, and a function that marks the current step in each. */
function overallFigures() {
  const word = SLOT_WORD[page.slot];
  const labels = page.after.map((each) => String(each.slots));
  const xTitle = page.slot === "step" ? "right steps given" : `${word}s`;
  const shares = [0, 0.25, 0.5, 0.75, 1];
  const asPercent = (tick) => String(100 * tick);
  const cards = [], charts = [];
  const add = (title, note, chart, entries, table, name) => {
    charts.push(chart);
    cards.push(figureCard(title, note, chart, entries, table, name));
  };
  const unmixed = (page.slot === "thought" || page.slot === "pause") && !page.mixed ? " Training mixed no stages, so stopping before the last is something this run was not trained for." : "";

  const named = { step: "given k right steps", none: "as evaluated" }[page.slot] || "made to write words after k";
  const levels = page.slot === "none" ? [] : [{ name: `as evaluated: ${percent(page.accuracy.mean)}`, value: page.accuracy.mean, kind: "clean" }];
  if (coin !== null) levels.push({ name: "a coin: 50 %", value: coin, kind: "coin" });
  if (page.beside) levels.push({ name: `${page.beside.method}: ${percent(page.beside.accuracy.mean)}`, value: page.beside.accuracy.mean, kind: "beside" });
  add("Accuracy, %", `${sentence(named)} Bars are 95 % Wilson intervals.${unmixed}`,
    lineChart({ name: "Accuracy", labels, xTitle, series: [{ name: named, points: page.after.map((each) => each.accuracy) }], levels, most: 1, ticks: shares, tickText: asPercent }),
    [{ kind: "series", index: 0, name: named }, ...levels.map((level) => ({ kind: "level", index: level.kind, name: level.name }))],
    numbersTable([xTitle, "accuracy", "problems"], page.after.map((each) => [each.slots, plainRange(each.accuracy), each.accuracy.num])), "accuracy");

  if (page.paths.length) {
    add("Kinds of chains written, %", `Classes of what is written, ${named}.`,
      stackChart({ name: "Classes of outputs", labels, xTitle, classes: page.paths, rows: page.after.map((each) => each.paths) }),
      page.paths.map((name, index) => ({ kind: "stack", index, name })),
      numbersTable([xTitle, ...page.paths], page.after.map((each) => [each.slots, ...each.paths])), "classes");
  }
  if (page.after.some((each) => each.frontier)) {
    const kinds = [["frontier", "on the frontier"], ["reachable", "reachable, elsewhere"], ["elsewhere", "unreachable"]];
    const series = kinds.map(([key, name]) => ({ name, points: page.after.map((each) => each[key] || null) }));
    const byChance = { name: "frontier, by chance", points: page.after.map((each) => each.frontier_by_chance || null) };
    add("Where the value is, %", "Mean share of the value of all nodes, 95 % bootstrap intervals; problems whose chain is long enough. This is what would be written, not where it is known from.",
      lineChart({ name: "Share of value", labels, xTitle, series: [...series, byChance], most: 1, ticks: shares, tickText: asPercent }),
      [...series, byChance].map(({ name }, index) => ({ kind: "series", index, name })),
      numbersTable([xTitle, ...kinds.map(([, name]) => name), "problems"], page.after.map((each) => [each.slots, ...kinds.map(([key]) => plainRange(each[key])), each.frontier ? each.frontier.num : 0])), "value");
    const points = [page.after.map((each) => each.candidates || null), page.after.map((each) => each.frontier_size || null)];
    const top = Math.ceil(Math.max(2, ...points.flat().map((range) => (range && range.mean !== null ? range.high ?? range.mean : 0))));
    const step = top > 6 ? 2 : 1;
    add("Effective number of candidates", "exp(entropy) of the value over the frontier. At the frontier's size, all its nodes are held alike; at 1, one is chosen.",
      lineChart({ name: "Effective number of candidates", labels, xTitle, series: [{ name: "effective number", points: points[0] }, { name: "size of the frontier", points: points[1] }], most: top, ticks: Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => i * step), tickText: String }),
      [{ kind: "series", index: 0, name: "effective number" }, { kind: "series", index: 1, name: "size of the frontier" }],
      numbersTable([xTitle, "effective number", "frontier"], page.after.map((each) => [each.slots, plainRange(each.candidates), plainRange(each.frontier_size)])), "candidates");
  }
  return { cards, show: (k) => charts.forEach((chart) => chart.showStep(k)) };
}
