/* Training curves: mean and range over the seeds by epoch. The pointer, or the slider below, chooses an epoch. */
function plot(data) {
  const SVG = "http://www.w3.org/2000/svg", LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 40;
  const byId = (id) => document.getElementById(id);
  const panel = byId("panel"), quantity = byId("quantity"), end = byId("end"), epoch = byId("epoch"), paper = byId("paper");
  const shown = new Set(data.recipes.keys());
  let scale = null;

  function drawn(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function stroke(recipe) {
    const { colour, dashes } = data.recipes[recipe];
    return { stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes.map((part) => 2 * part).join(" ") || "none", fill: "none" };
  }
  /* Round steps of 1, 2 or 5 times a power of ten, about `most` of them. */
  function ticks(low, high, most) {
    const rough = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].find((k) => k * power >= rough) || 10), found = [];
    for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + 1e-9 * step; x += step) found.push(Number(x.toPrecision(12)));
    return found;
  }
  function number(value) {
    const [, unit] = data.quantities[quantity.value];
    return unit ? `${value.toFixed(2)} ${unit}` : value.toPrecision(4);
  }
  /* The lines of the chosen panel and quantity that are switched on, from the first epoch that is shown. */
  function lines() {
    const all = data.panels[panel.value].curves.filter(([recipe, , own]) => shown.has(recipe) && own[quantity.value]?.[0].length);
    const last = Math.max(0, ...all.map(([, , own]) => own[quantity.value][0].at(-1)));
    const first = end.checked ? Math.ceil(last * 0.8) : 0;
    return all.map(([recipe, seeds, own]) => {
      const start = own[quantity.value][0].findIndex((x) => x >= first);
      const [x, mean, low = mean, high = mean] = own[quantity.value].map((part) => start < 0 ? [] : part.slice(start));
      return { recipe, seeds, x, mean, low, high };
    }).filter((line) => line.x.length);
  }
  function draw() {
    const found = lines(), width = Math.max(260, paper.clientWidth - 24), height = Math.min(380, Math.max(240, width * 0.5));
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-labelledby": "plot-title" });
    svg.append(drawn("title", { id: "plot-title" }, `${data.quantities[quantity.value][0]} by epoch, ${data.panels[panel.value].name}`));
    const xs = found.flatMap((line) => line.x), lows = found.flatMap((line) => line.low), highs = found.flatMap((line) => line.high);
    scale = null;
    if (!xs.length) {
      svg.append(drawn("text", { x: 20, y: 40, fill: "#444", "font-size": 14 }, "No recipe is switched on."));
      paper.replaceChildren(svg);
      values();
      return;
    }
    const x0 = Math.min(...xs), x1 = Math.max(...xs, x0 + 1);
    let y0 = Math.min(...lows), y1 = Math.max(...highs);
    const margin = 0.05 * (y1 - y0) || 1e-3 * Math.abs(y1) || 1;
    y0 -= margin; y1 += margin;
    const right = width - RIGHT, bottom = height - BOTTOM;
    const px = (x) => LEFT + ((x - x0) / (x1 - x0)) * (right - LEFT), py = (y) => bottom - ((y - y0) / (y1 - y0)) * (bottom - TOP);
    const write = (x, y, words, anchor) => svg.append(drawn("text", { x, y, fill: "#333", "font-size": 12, "text-anchor": anchor }, words));
    for (const y of ticks(y0, y1, 6)) {
      svg.append(drawn("line", { x1: LEFT, x2: right, y1: py(y), y2: py(y), stroke: "#e3e3e3" }));
      write(LEFT - 6, py(y) + 4, String(y), "end");
    }
    for (const x of ticks(x0, x1, Math.max(3, width / 90)).filter(Number.isInteger)) write(px(x), bottom + 16, String(x), "middle");
    const [name, unit] = data.quantities[quantity.value];
    write((LEFT + right) / 2, height - 6, "epoch", "middle");
    const label = drawn("text", { transform: `translate(12 ${(TOP + bottom) / 2}) rotate(-90)`, fill: "#333", "font-size": 12, "text-anchor": "middle" }, unit ? `${name} (${unit})` : name);
    svg.append(label);
    for (const { recipe, seeds, x, low, high } of found) {
      if (seeds < 2) continue;
      const there = x.map((e, i) => `${px(e)},${py(high[i])}`), back = x.map((e, i) => `${px(e)},${py(low[i])}`).reverse();
      svg.append(drawn("polygon", { class: "band", points: [...there, ...back].join(" "), fill: data.recipes[recipe].colour, opacity: 0.12 }));
    }
    for (const { recipe, x, mean } of found) {
      svg.append(drawn("polyline", { class: "curve", points: x.map((e, i) => `${px(e)},${py(mean[i])}`).join(" "), ...stroke(recipe) }));
    }
    const rule = drawn("line", { y1: TOP, y2: bottom, stroke: "#666", "stroke-dasharray": "3 3" }), dots = drawn("g", {});
    svg.append(rule, dots);
    svg.addEventListener("pointermove", (event) => {
      const at = ((event.clientX - svg.getBoundingClientRect().left) / svg.getBoundingClientRect().width) * width;
      choose(x0 + ((at - LEFT) / (right - LEFT)) * (x1 - x0));
    });
    paper.replaceChildren(svg);
    scale = { found, epochs: [...new Set(xs)].sort((a, b) => a - b), px, py, rule, dots };
    const kept = Math.min(Number(epoch.dataset.epoch ?? x1), x1);
    epoch.max = scale.epochs.length - 1;
    choose(kept);
  }
  function choose(wanted) {
    const { epochs } = scale;
    let best = 0;
    epochs.forEach((x, i) => { if (Math.abs(x - wanted) < Math.abs(epochs[best] - wanted)) best = i; });
    epoch.value = best;
    values();
  }
  /* Write the values at the chosen epoch into the table, and mark them on the lines. */
  function values() {
    const body = byId("values").tBodies[0];
    body.replaceChildren();
    epoch.disabled = !scale;
    if (!scale) return;
    const at = scale.epochs[epoch.value], said = [];
    epoch.dataset.epoch = at;
    scale.rule.setAttribute("x1", scale.px(at));
    scale.rule.setAttribute("x2", scale.px(at));
    scale.dots.replaceChildren();
    for (const { recipe, seeds, x, mean, low, high } of scale.found) {
      const i = x.indexOf(at), name = data.recipes[recipe].name;
      if (i < 0) continue;
      scale.dots.append(drawn("circle", { cx: scale.px(at), cy: scale.py(mean[i]), r: 4, fill: data.recipes[recipe].colour, stroke: "#fff" }));
      const range = seeds > 1 ? `${number(low[i])} to ${number(high[i])}` : "–";
      body.append(element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, number(mean[i])), element("td", {}, range), element("td", {}, String(seeds))));
      said.push(`${name} ${number(mean[i])}`);
    }
    epoch.setAttribute("aria-valuetext", `epoch ${at}: ${said.join(", ")}`);
  }

  data.panels.forEach(({ name }, i) => panel.append(element("option", { value: i }, name)));
  for (const [key, [name]] of Object.entries(data.quantities)) quantity.append(element("option", { value: key }, name));
  data.recipes.forEach(({ name }, i) => {
    const box = element("input", { type: "checkbox", checked: "" }), sample = drawn("svg", { width: 30, height: 12, "aria-hidden": "true" });
    sample.append(drawn("line", { x1: 2, x2: 28, y1: 6, y2: 6, ...stroke(i) }));
    box.addEventListener("change", () => { box.checked ? shown.add(i) : shown.delete(i); draw(); });
    byId("recipes").append(element("label", {}, box, sample, name));
  });
  if (data.left_out) byId("left-out").textContent = ` ${data.left_out} more curves are left out: python -m ampbench report --only draws a part.`;
  for (const field of [panel, quantity, end]) field.addEventListener("change", draw);
  epoch.addEventListener("input", values);
  paper.closest("section").hidden = false;
  draw();
  new ResizeObserver(() => { if (Math.abs(paper.clientWidth - plot.width) > 1) { plot.width = paper.clientWidth; draw(); } }).observe(paper);
}
plot.width = 0;
if (document.getElementById("curve-data")) plot(JSON.parse(document.getElementById("curve-data").textContent));
