"use strict";
/* Tables that are sorted and filtered by column. Their rows come as JSON and are drawn a part at a time: a page of
   10,000 rows opens as fast as one of 10. */
const PART = 100, MOST_CHOICES = 60, LEAST_FILTERED = 8, LONG = 30;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/* The number that a text begins with, as in `21,340 ±0.5%` or `1.85 [1.80, 1.90]`; NaN for a word or a dash. */
function numberOf(text) {
  const found = /^[<>~≈]?\s*([-+−]?[\d,]*\.?\d+(?:e[-+]?\d+)?)/i.exec(text);
  return found ? Number(found[1].replaceAll(",", "").replace("−", "-")) : NaN;
}

/* A test of numbers from what was typed: `128`, `>=128`, `!=0`, `64..256`, several with blanks between; null if it is
   no condition. */
function condition(typed) {
  const tests = [];
  for (const word of typed.replace(/([<>=!]+)\s+/g, "$1").split(/\s+/).filter(Boolean)) {
    const range = /^([-+]?[\d.,]+)\.\.([-+]?[\d.,]+)$/.exec(word), single = /^(>=|<=|!=|>|<|=)?([-+]?[\d.,]+(?:e[-+]?\d+)?)$/i.exec(word);
    if (range) {
      const low = numberOf(range[1]), high = numberOf(range[2]);
      if (Number.isNaN(low) || Number.isNaN(high)) return null;
      tests.push((x) => x >= low && x <= high);
    } else if (single) {
      const y = numberOf(single[2]);
      if (Number.isNaN(y)) return null;
      tests.push({
        ">=": (x) => x >= y, "<=": (x) => x <= y, ">": (x) => x > y, "<": (x) => x < y, "!=": (x) => x !== y,
        "=": (x) => x === y,
      }[single[1] || "="]);
    } else return null;
  }
  return (x) => tests.every((test) => test(x));
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;  // no permission: the command stands below the table, to be selected by hand
  }
}

function table(root) {
  const data = JSON.parse(root.querySelector("script").textContent), columns = data.columns, title = root.dataset.title;
  const status = root.querySelector(".count"), grid = root.querySelector("table"), head = grid.tHead.rows[0];
  const order = data.rows.map((_, i) => i), filters = columns.map(() => null);
  let sorting = null, shown = order, drawn = 0;
  const text = (row, c) => (columns[c].values ? columns[c].values[row[c]] : row[c]);
  const number = columns.map((column, c) => column.values ? null : data.rows.map((row) => numberOf(row[c])));

  /* Words by the alphabet, recipes in their own order, numbers by size; what is missing stays at the end. */
  function compare(i, j) {
    const { column, direction } = sorting, { values, colours } = columns[column];
    if (values) {
      const a = data.rows[i][column], b = data.rows[j][column];
      return direction * (colours ? a - b : values[a].localeCompare(values[b], "en", { numeric: true })) || i - j;
    }
    const a = number[column][i], b = number[column][j];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b) || i - j;
    return direction * (a - b) || i - j;
  }
  function row(i) {
    const cells = columns.map((column, c) => {
      const words = text(data.rows[i], c), scope = column.head === "precision";
      if (!column.values) return element("td", {}, words);
      const inside = element("span", { class: words.length > LONG ? "long" : null }, words);
      if (column.colours?.[data.rows[i][c]]) {
        const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.background = column.colours[data.rows[i][c]];
        inside.prepend(swatch);
      }
      return element(scope ? "th" : "td", { class: "word", scope: scope ? "row" : null }, inside);
    });
    if (data.commands.length) {
      const command = data.commands[i], cell = element("td", { class: "copying" });
      if (command) {
        const of = columns.slice(0, 3).map((_, c) => text(data.rows[i], c)).join(" ");
        const button = element("button", { type: "button", class: "copy", "aria-label": `Copy the command that measures ${of} again` }, "copy");
        button.addEventListener("click", async () => {
          commandLine.querySelector("code").textContent = command;
          commandLine.hidden = false;
          commandStatus.textContent = (await copied(command)) ? "Copied: " : "To copy: ";
        });
        cell.append(button);
      }
      cells.push(cell);
    }
    return element("tr", {}, ...cells);
  }
  function more() {
    const part = shown.slice(drawn, drawn + PART);
    grid.tBodies[0].append(...part.map(row));
    drawn += part.length;
    moreButton.hidden = drawn >= shown.length;
    moreButton.textContent = `Show ${Math.min(PART, shown.length - drawn)} more rows`;
    const all = data.rows.length, matching = shown.length === all ? `${all} rows` : `${shown.length} of ${all} rows`;
    status.textContent = drawn < shown.length ? `${matching}, the first ${drawn} are shown` : matching;
  }
  function draw() {
    const tests = filters.map((test, c) => [test, c]).filter(([test]) => test);
    shown = order.filter((i) => tests.every(([test, c]) => test(columns[c].values ? data.rows[i][c] : number[c][i])));
    if (sorting) shown = shown.toSorted ? shown.toSorted(compare) : shown.slice().sort(compare);
    grid.tBodies[0].replaceChildren();
    drawn = 0;
    more();
  }
  function filterOf(column, c) {
    const label = `Filter ${title} by ${column.head}`;
    if (column.values && column.values.length <= MOST_CHOICES) {
      const field = element("select", { "aria-label": label }, element("option", { value: "" }, "all"));
      const places = column.values.map((_, i) => i);
      if (!column.colours) places.sort((a, b) => column.values[a].localeCompare(column.values[b], "en", { numeric: true }));
      field.append(...places.map((i) => element("option", { value: i }, column.values[i].slice(0, 60))));
      field.addEventListener("change", () => {
        const wanted = Number(field.value);
        filters[c] = field.value === "" ? null : (value) => value === wanted;
        draw();
      });
      return field;
    }
    const field = element("input", {
      type: "text", "aria-label": label, placeholder: column.values ? "part of it" : ">= 0", autocomplete: "off", spellcheck: "false",
    });
    field.addEventListener("input", () => {
      const typed = field.value.trim();
      field.removeAttribute("aria-invalid");
      if (!typed) filters[c] = null;
      else if (column.values) {
        const matching = new Set(column.values.flatMap((value, i) => value.toLowerCase().includes(typed.toLowerCase()) ? [i] : []));
        filters[c] = (value) => matching.has(value);
      } else {
        const test = condition(typed);
        if (!test) {
          field.setAttribute("aria-invalid", "true");
          status.textContent = `${column.head}: write a number, or a comparison as in >=128, <2, 64..256`;
          return;
        }
        filters[c] = test;
      }
      draw();
    });
    return field;
  }

  const filterRow = element("tr", { class: "filters" });
  columns.forEach((column, c) => {
    const cell = head.cells[c], button = element("button", { type: "button" }, column.head);
    cell.setAttribute("aria-sort", "none");
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const ascending = cell.getAttribute("aria-sort") !== "ascending";
      for (const other of head.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
      cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sorting = { column: c, direction: ascending ? 1 : -1 };
      draw();
    });
    filterRow.append(element("td", { class: column.values ? "word" : null }, filterOf(column, c)));
  });
  const commandStatus = element("span", { role: "status" }), commandLine = element("p", { class: "soft command", hidden: "" }, commandStatus, element("code"));
  if (data.commands.length) {
    head.append(element("th", { scope: "col", class: "copying" }, "again"));
    filterRow.append(element("td", { class: "copying" }));
  }
  const moreButton = element("button", { type: "button", class: "more" });
  moreButton.addEventListener("click", more);
  const reset = element("button", { type: "button", class: "copy" }, "Clear filters");
  reset.addEventListener("click", () => {
    for (const field of filterRow.querySelectorAll("input, select")) { field.value = ""; field.removeAttribute("aria-invalid"); }
    filters.fill(null);
    draw();
  });
  if (data.rows.length >= LEAST_FILTERED) {
    grid.tHead.append(filterRow);
    const bar = element("div", { class: "bar" });
    status.replaceWith(bar);
    bar.append(status, reset);
  }
  grid.parentElement.after(moreButton, commandLine);
  draw();
}
for (const root of document.querySelectorAll(".table")) table(root);
