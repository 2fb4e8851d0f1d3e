"use strict";

// The page of samples. Short values are columns, item by item and model by model; texts are in
// blocks that are unpacked one after another while the page can be used already. All text of
// models, judges and users is shown with textContent only.
(async () => {
  const find = (id) => document.getElementById(id);
  const [form, list, dialog] = [find("filters"), find("items"), find("item")];
  const [heads, rows] = [list.querySelector(".head"), list.querySelector(".rows")];
  const controls = form.elements;

  /** Make an element with a class, text and children. */
  const make = (tag, className = "", text = "", children = []) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text) element.textContent = text;
    element.append(...children);
    return element;
  };

  // ---- The data -------------------------------------------------------------------------------

  const unpack = (script) => {
    const text = script.textContent;
    const bytes = Uint8Array.fromBase64
      ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(plain).text();
  };

  const loading = find("loading");
  if (!globalThis.DecompressionStream) {
    loading.textContent = "This browser cannot unpack the answers (no DecompressionStream): use one from 2023 or later.";
    return;
  }
  const data = JSON.parse(await unpack(find("head")));
  const models = data.models.map(([name, kind, recipe]) => ({ name, kind, recipe }));
  const count = data.axis[1].length;
  const sign = data.axis[0].map((axis) => (new Map(data.axes).get(axis) === "lower" ? -1 : 1));
  const texts = new Array(count);  // of an item: the prompt, then answer and note of each model
  let unpacked = false;

  const word = (column, place) => column[0][column[1][place]] ?? "";
  const place = (item, model) => item * models.length + model;
  const exists = (item, model) => data.outcome[1][place(item, model)] >= 0;
  const parts = (item) => (texts[item] ?? "…").split("\x1f");

  /** How much better A is than B on an item; NaN where a score is missing. */
  const gain = (item, a, b) => {
    const [own, other] = [data.score[place(item, a)], data.score[place(item, b)]];
    return own === null || other === null ? NaN : sign[data.axis[1][item]] * (own - other);
  };
  const differs = (item, a, b) => {
    const by = gain(item, a, b);
    return by ? true : data.outcome[1][place(item, a)] !== data.outcome[1][place(item, b)];
  };

  // ---- What is chosen, and which items pass ---------------------------------------------------

  const CHOICES = ["axis", "language", "category", "outcome", "severity"];
  const KEYS = ["q", "a", "b", "show", ...CHOICES];
  let a, b, shown, pattern;  // of the filters
  let order = [];  // the items that pass, as they are sorted
  let sorted = { model: -1, down: true };  // model -1: as they come

  const read = () => {
    [a, b] = [Number(controls.a.value), Number(controls.b.value)];
    const boxes = [...form.querySelectorAll("fieldset input")];
    const more = boxes.filter((box) => box.checked).map((box) => Number(box.value));
    shown = [...new Set([a, b, ...more])];
    for (const box of boxes) box.parentElement.hidden = [a, b].includes(Number(box.value));
    const wanted = controls.q.value.trim();
    pattern = wanted ? new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "i") : null;
  };

  /** Whether the search finds something in the prompt, an id, or what the shown models said. */
  const found = (item) => {
    if (pattern.test(word(data.id, item)) || pattern.test(word(data.cluster, item))) return true;
    const all = texts[item];
    if (all === undefined || !pattern.test(all)) return false;
    const each = all.split("\x1f");
    return pattern.test(each[0])
      || shown.some((m) => pattern.test(each[1 + 2 * m]) || pattern.test(each[2 + 2 * m]));
  };

  const SHOWS = {
    differ: (item) => differs(item, a, b),
    a: (item) => gain(item, a, b) > 0,
    b: (item) => gain(item, a, b) < 0,
    alike: (item) => !differs(item, a, b),
  };

  const tests = () => {
    const code = (name) => {
      const at = data[name][0].indexOf(controls[name].value);
      return controls[name].value ? at : null;
    };
    const list = [(item) => shown.some((model) => exists(item, model))];
    for (const name of ["axis", "language", "category"]) {
      const wanted = code(name);
      if (wanted !== null) list.push((item) => data[name][1][item] === wanted);
    }
    const [outcome, severity] = [code("outcome"), code("severity")];
    if (outcome !== null) list.push((item) => data.outcome[1][place(item, a)] === outcome);
    if (severity !== null) {
      list.push((item) => shown.some((m) => data.severity[1][place(item, m)] === severity));
    }
    if (SHOWS[controls.show.value]) list.push(SHOWS[controls.show.value]);
    if (pattern) list.push(found);  // last, since it costs most
    return list;
  };

  const sort = () => {
    if (sorted.model < 0) {
      if (!sorted.down) order.reverse();
      return;
    }
    const key = new Map(order.map((item) => {
      const score = data.score[place(item, sorted.model)];
      // Missing scores come last in both directions.
      return [item, score === null ? -Infinity : score * sign[data.axis[1][item]] * (sorted.down ? 1 : -1)];
    }));
    order.sort((x, y) => (key.get(y) === key.get(x) ? x - y : key.get(y) - key.get(x)));
  };

  const describe = () => {
    const number = (value) => value.toLocaleString("en");
    let [better, worse] = [0, 0];
    for (const item of order) {
      const by = gain(item, a, b);
      better += by > 0;
      worse += by < 0;
    }
    find("found").textContent = `${number(order.length)} of ${number(count)} items`
      + (a === b ? "" : `; A is better on ${number(better)}, B on ${number(worse)}`)
      + (pattern && !unpacked ? "; still unpacking" : "");
    find("none").hidden = order.length > 0;
    list.hidden = order.length === 0;
  };

  const apply = () => {
    read();
    const all = tests();
    order = [];
    for (let item = 0; item < count; item += 1) {
      if (all.every((test) => test(item))) order.push(item);
    }
    sort();
    active = 0;
    list.scrollTop = 0;
    describe();
    headings();
    redraw();
    remember();
  };

  // ---- The address keeps the choice: a link from the report opens it ---------------------------

  let waiting;
  const remember = () => {  // not with every letter: browsers limit how often the address changes
    clearTimeout(waiting);
    waiting = setTimeout(keep, 200);
  };

  const keep = () => {
    const query = new URLSearchParams();
    for (const key of KEYS) {
      const { value } = controls[key];
      if (value) query.append(key, key === "a" || key === "b" ? models[value].name : value);
    }
    for (const m of shown.slice(a === b ? 1 : 2)) query.append("model", models[m].name);
    history.replaceState(null, "", `#${query}`);
  };

  const recall = () => {
    const query = new URLSearchParams(location.hash.slice(1));
    const number = (name) => models.findIndex((model) => model.name === name);
    for (const key of KEYS) {
      const value = query.get(key) ?? "";
      if (key !== "a" && key !== "b") controls[key].value = value;
      else if (number(value) >= 0) controls[key].value = number(value);
    }
    // A model from a link is not compared with itself.
    if (!query.has("b") && controls.a.value === controls.b.value) {
      controls.b.value = data.pair.find((model) => String(model) !== controls.a.value) ?? 0;
    }
    for (const name of ["show", ...CHOICES]) if (controls[name].selectedIndex < 0) controls[name].value = "";
    const more = new Set(query.getAll("model").map(number));
    for (const box of form.querySelectorAll("fieldset input")) box.checked = more.has(Number(box.value));
  };

  // ---- The list: only the rows on the screen exist ---------------------------------------------

  let active = 0;  // the place in `order` that the keyboard is at; its row always exists
  let height = 0;
  const drawn = new Map();

  const measure = () => {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const stacked = list.clientWidth < 44 * rem;
    list.classList.toggle("stacked", stacked);
    // Some 50 letters fit into a line.
    const lines = Math.max(2, Math.min(stacked ? 3 : 6, Math.ceil(data.length / 50)));
    height = Math.round(rem * (stacked ? 4.6 + (2 + 1.2 * lines) * shown.length : 3.1 + 1.4 * lines));
    list.style.setProperty("--lines", lines);
    list.style.setProperty("--row", `${height}px`);
    list.style.setProperty("--models", shown.length);
    rows.style.height = `${order.length * height}px`;
  };

  const draw = () => {
    const top = list.scrollTop - heads.offsetHeight;
    const first = Math.max(0, Math.floor(top / height) - 2);
    const last = Math.min(order.length - 1, Math.ceil((top + list.clientHeight) / height) + 2);
    for (const [at, row] of drawn) {
      if ((at < first || at > last) && at !== active) {
        row.remove();
        drawn.delete(at);
      }
    }
    for (let at = first; at <= last; at += 1) add(at);
    if (order.length) add(active);
  };

  const add = (at) => {
    if (drawn.has(at)) return;
    const row = rowOf(at);
    drawn.set(at, row);
    // Screen readers read in the order of the document.
    const next = [...rows.children].find((other) => other.ariaRowIndex - 2 > at);
    rows.insertBefore(row, next ?? null);
  };

  const redraw = () => {
    const held = rows.contains(document.activeElement);
    rows.replaceChildren();
    drawn.clear();
    list.ariaRowCount = order.length + 1;
    list.ariaColCount = shown.length + 1;
    measure();
    draw();
    if (held && order.length) drawn.get(active).focus({ preventScroll: true });
  };

  const rowOf = (at) => {
    const item = order[at];
    const said = parts(item);
    const row = make("div", "row");
    row.role = "row";
    row.ariaRowIndex = at + 2;
    row.tabIndex = at === active ? 0 : -1;
    row.style.transform = `translateY(${at * height}px)`;
    const what = make("div", "cell what", "", [tagsOf(item), textOf(item, said[0], true)]);
    what.role = "rowheader";
    row.append(what, ...shown.map((model) => {
      const cell = make("div", "cell", "", [outcomeOf(item, model), textOf(item, said[1 + 2 * model], true, model)]);
      cell.role = "gridcell";
      return cell;
    }));
    return row;
  };

  const tagsOf = (item, more = []) => make("p", "tags", "", ["axis", "language", "category", ...more]
    .map((name) => word(data[name], item)).filter(Boolean).map((text) => make("span", "", text)));

  const outcomeOf = (item, model) => {
    const tone = word(data.tone, place(item, model));
    const words = exists(item, model) ? word(data.outcome, place(item, model)) : "No answer";
    const line = make("p", "said", "", [make("span", "name", models[model].name), make("span", `outcome ${tone}`, words)]);
    line.firstChild.dataset.mark = models[model].kind;
    const rival = model === a ? b : model === b ? a : model;
    if (gain(item, model, rival) > 0) line.append(make("span", "better", "better"));
    const severity = word(data.severity, place(item, model));
    if (severity) line.append(make("span", "severity", severity));
    return line;
  };

  /** A text with what the search found marked; a short one starts near the first such place. */
  const textOf = (item, text, short, model = null) => {
    const line = make("p", model === null ? "prompt" : "text");
    line.dir = "auto";
    if (word(data.language, item)) line.lang = word(data.language, item);
    if (!text) {
      if (model === null || exists(item, model)) line.append(make("em", "", model === null ? "(empty)" : "(empty answer)"));
      return line;
    }
    let rest = text;
    if (short) {
      const hit = pattern ? rest.search(pattern) : 0;
      rest = (hit > 120 ? `…${rest.slice(hit - 40, hit + 700)}` : rest.slice(0, 700));
    }
    for (let match = pattern?.exec(rest); match?.[0]; match = pattern.exec(rest)) {
      line.append(rest.slice(0, match.index), make("mark", "", match[0]));
      rest = rest.slice(match.index + match[0].length);
    }
    line.append(rest);
    return line;
  };

  const headings = () => {
    const held = heads.contains(document.activeElement);
    const heading = (model, title) => {
      const button = make("button", "sort", title);
      button.type = "button";
      const cell = make("div", "cell", "", [button]);
      cell.role = "columnheader";
      const own = sorted.model === model;
      cell.ariaSort = own ? (sorted.down === model >= 0 ? "descending" : "ascending") : "none";
      button.addEventListener("click", () => {
        sorted = { model, down: own ? !sorted.down : true };
        apply();
        heads.children[model < 0 ? 0 : 1 + shown.indexOf(model)].firstChild.focus();
      });
      return cell;
    };
    const letter = (model) => (a !== b && model === a ? "A: " : a !== b && model === b ? "B: " : "");
    if (sorted.model >= 0 && !shown.includes(sorted.model)) sorted = { model: -1, down: true };
    heads.replaceChildren(
      heading(-1, "Item"), ...shown.map((model) => heading(model, letter(model) + models[model].name)),
    );
    if (held) heads.querySelector("button").focus();
  };

  const go = (at) => {
    const from = drawn.get(active);
    active = Math.max(0, Math.min(order.length - 1, at));
    if (from) from.tabIndex = -1;
    add(active);
    const row = drawn.get(active);
    row.tabIndex = 0;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest", behavior: "instant" });
    draw();
  };

  // ---- One item with its whole answers ---------------------------------------------------------

  const card = (item, said, model) => {
    const own = make("div", "answer", "", [
      outcomeOf(item, model), textOf(item, said[1 + 2 * model], false, model),
    ]);
    const note = said[2 + 2 * model];
    if (note) own.append(make("p", "reason", note));
    own.lastChild.dir = "auto";
    const { recipe } = models[model];
    if (recipe) own.append(make("details", "", "", [make("summary", "", "Recipe"), make("pre", "", recipe)]));
    return own;
  };

  const open = (at) => {
    go(at);
    const item = order[active];
    const said = parts(item);
    find("item-title").textContent = `Item ${active + 1} of ${order.length}: ${word(data.id, item)}`;
    const cards = (list) => make("div", "answers", "", list.map((model) => card(item, said, model)));
    const rest = models.map((_, model) => model).filter((m) => !shown.includes(m) && exists(item, m));
    const whole = dialog.querySelector(".whole");
    whole.replaceChildren(tagsOf(item, ["cluster"]), textOf(item, said[0], false), cards(shown));
    if (rest.length) {
      const more = make("details", "rest", "", [make("summary", "", `Answers of ${rest.length} more models`)]);
      more.addEventListener("toggle", () => more.append(cards(rest)), { once: true });
      whole.append(more);
    }
    const [previous, next] = dialog.querySelectorAll(".bar button");
    previous.disabled = active === 0;
    next.disabled = active === order.length - 1;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  };

  const step = (by) => { if (order[active + by] !== undefined) open(active + by); };

  // ---- Events ----------------------------------------------------------------------------------

  const JUMPS = {
    ArrowDown: () => active + 1,
    ArrowUp: () => active - 1,
    PageDown: () => active + Math.max(1, Math.floor(list.clientHeight / height) - 1),
    PageUp: () => active - Math.max(1, Math.floor(list.clientHeight / height) - 1),
    Home: () => 0,
    End: () => order.length - 1,
  };
  const plain = (event) => !event.ctrlKey && !event.metaKey && !event.altKey;

  rows.addEventListener("keydown", (event) => {
    if (!plain(event)) return;
    if (JUMPS[event.key]) go(JUMPS[event.key]());
    else if (event.key === "Enter" || event.key === " ") open(active);
    else return;
    event.preventDefault();
  });
  rows.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row && getSelection().isCollapsed) open(row.ariaRowIndex - 2);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.value === "close") dialog.close();
    else if (event.target.value) step(Number(event.target.value));
  });
  dialog.addEventListener("keydown", (event) => {
    if (plain(event) && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      step(event.key === "ArrowLeft" ? -1 : 1);
    }
  });
  dialog.addEventListener("close", () => go(active));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && plain(event) && !dialog.open && !event.target.closest("input, select")) {
      event.preventDefault();
      controls.q.focus();
    }
  });
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const key of ["q", "show", ...CHOICES]) controls[key].value = "";
    apply();
  });
  list.addEventListener("scroll", draw, { passive: true });
  addEventListener("resize", redraw);
  addEventListener("hashchange", () => { recall(); apply(); });

  // ---- Begin -----------------------------------------------------------------------------------

  for (const name of CHOICES) {
    const known = data[name][0].filter(Boolean);
    const all = { category: "All categories", severity: "Any" }[name] ?? `All ${name === "axis" ? "axes" : `${name}s`}`;
    controls[name].append(new Option(all, ""), ...known.map((text) => new Option(text)));
    // A choice of one thing is none, and a score of each answer makes no list.
    controls[name].parentElement.hidden = known.length < 2 - (name === "severity") || known.length > 200;
  }
  for (const name of ["a", "b"]) controls[name].append(...models.map((model, at) => new Option(model.name, at)));
  [controls.a.value, controls.b.value] = data.pair;
  for (const label of form.querySelectorAll(".pair-only")) label.hidden = models.length < 2;
  form.querySelector("fieldset").hidden = models.length < 3;
  find("more").open = innerWidth > 700;  // on a phone the items come first
  form.querySelector("fieldset").append(...models.map((model, at) => {
    const box = make("input");
    Object.assign(box, { type: "checkbox", value: at });
    return make("label", "", "", [box, model.name]);
  }));
  if (data.left_out) {
    find("left-out").textContent = data.left_out;
    find("left-out").hidden = false;
  }
  loading.remove();
  form.hidden = false;
  recall();
  apply();

  for (const [number, script] of document.querySelectorAll(".block").entries()) {
    const block = (await unpack(script)).split("\x1e");
    block.forEach((text, at) => { texts[data.starts[number] + at] = text; });
    if (number === 0) redraw();
  }
  unpacked = true;
  // A search that was made too early looks again; rows that waited for their texts get them.
  if (pattern) apply();
  else redraw();
  performance.mark("unpacked");
  document.body.dataset.ready = "yes";
})();
