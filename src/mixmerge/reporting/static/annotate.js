"use strict";

// The page of an annotator. A label is first kept in this browser, then sent to the server if there
// is one; what the server has not acknowledged is sent again, also after a reload. All texts are
// shown with textContent only.
(async () => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const { items, questions } = data;
  const form = find("choices");
  const store = `mixmerge:${data.task}:${data.annotator}`;
  const served = location.protocol.startsWith("http");
  const RETRY = 2000;  // milliseconds

  const make = (tag, text = "", className = "") => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  // ---- What is kept ---------------------------------------------------------------------------

  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (n) => n.toString(16).padStart(2, "0")).join("");
  let kept = { device: random(), labels: {}, waiting: [], table: false };
  let lasting = true;
  try {
    kept = { ...kept, ...JSON.parse(localStorage.getItem(store) ?? "{}") };
  } catch { lasting = false; }

  const keep = () => {
    try {
      localStorage.setItem(store, JSON.stringify(kept));
      lasting = true;
    } catch { lasting = false; }
    report();
  };

  let connected = served;
  let busy = false;
  let take = false;

  /** Send what the server does not have yet, the oldest first. */
  const send = async () => {
    if (!connected || busy) return;
    busy = true;
    while (kept.waiting.length) {
      const id = kept.waiting[0];
      const label = kept.labels[id];
      let reply;
      try {
        reply = await fetch("labels", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(take ? { ...label, take: true } : label),
        });
      } catch { break; }
      const said = await reply.json().catch(() => ({}));
      if (reply.ok) {
        take = false;
        complain("");
        // A label that was changed meanwhile is still to be sent.
        if (kept.labels[id] === label) kept.waiting = kept.waiting.filter((each) => each !== id);
        keep();
      } else {
        refused(said.refused ?? String(reply.status));
        break;
      }
    }
    busy = false;
    report();
    if (kept.waiting.length) setTimeout(send, RETRY);
  };

  const complain = (text, action, does) => {
    const box = find("trouble");
    box.hidden = !text;
    box.textContent = text;
    if (action) {
      const button = make("button", action);
      button.type = "button";
      button.addEventListener("click", does);
      box.append(" ", button);
    }
  };

  const refused = (why) => {
    if (why === "device") {
      complain(`Somebody has labelled as “${data.annotator}” in another browser. If that was another person, stop, and ask for a link of your own.`,
        "It was me: continue here", () => { take = true; send(); });
    } else if (why === "changed") {
      complain("This page is older than its task: reload it. Your labels are kept.");
    } else complain(`A label could not be saved on the server (${why}). It is kept in this browser.`);
  };

  const report = () => {
    const waiting = kept.waiting.length;
    const count = Object.keys(kept.labels).length;
    find("saved").textContent = connected
      ? (waiting ? `${waiting} not on the server yet; kept in this browser` : "all saved")
      : (lasting ? "saved in this browser" : "not saved: download your labels before you close the page");
    find("progress").max = items.length;
    find("progress").value = count;
    find("left").textContent = connected && !waiting
      ? "All labels are on the server; you may close this page."
      : "Download your labels and send the file back.";
    find("how").textContent = connected ? "Not needed while the page says “all saved”." : "Send this file back when you are done, or at any time.";
  };

  find("download").addEventListener("click", () => {
    const { task, annotator } = data;
    const file = { task, annotator, labels: Object.values(kept.labels) };
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }));
    link.download = `labels-${annotator}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });

  // ---- One item -------------------------------------------------------------------------------

  let at = 0;
  let seen = 0;  // milliseconds in view before this look at the item
  let since = performance.now();
  const inView = () => (seen + (document.hidden ? 0 : performance.now() - since)) / 1000;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) seen += performance.now() - since;
    since = performance.now();
  });

  const put = (element, text, language) => {
    element.textContent = text || "(no text)";
    element.classList.toggle("empty", !text);
    element.dir = "auto";
    element.lang = language;
    element.scrollTop = 0;
  };

  /** Show an item's texts in an article of the page. */
  const lay = (article, item) => {
    const part = (name) => article.querySelector(`.${name}`);
    part("kind").textContent = item.practice ? "practice" : "";
    part("language").textContent = item.language;
    put(part("prompt"), item.texts[0], item.language);
    part("answers").replaceChildren(...item.texts.slice(1).map((text, side) => {
      const head = item.texts.length > 2 ? `Answer ${"AB"[side]}` : "Answer";
      const [answer, body] = [make("div"), make("div", "", "text answer")];
      body.tabIndex = 0;
      put(body, text, item.language);
      answer.append(make("h2", head, "small-head"), body);
      return answer;
    }));
  };

  // The table: an article for each item of a page of rows; the choices below are for the current one.
  const ROWS = 20;
  const articles = () => find("items").children;
  const firstRow = () => (kept.table ? at - at % ROWS : at);
  let shown = -1;  // the first item on the page
  let labelled = 0;  // labels given since these items are in view

  const show = (place) => {
    at = Math.max(0, Math.min(items.length, place));
    // In the table, items may have been passed over.
    if (at === items.length) at = (items.findIndex(lacks) + items.length + 1) % (items.length + 1);
    const item = items[at];
    for (const id of ["items", "choices"]) find(id).hidden = !item;
    find("end").hidden = Boolean(item);
    find("place").textContent = item ? `${at + 1} of ${items.length}` : "done";
    if (!item) { find("end").scrollIntoView({ block: "nearest" }); return; }
    const question = questions[item.question];
    if (shown !== firstRow()) {
      shown = firstRow();
      [seen, since, labelled] = [0, performance.now(), 0];
      const rows = items.slice(shown, kept.table ? shown + ROWS : shown + 1);
      find("items").replaceChildren(...rows.map((row, number) => {
        const article = find("item").content.firstElementChild.cloneNode(true);
        const place = shown + number;
        article.setAttribute("aria-label", `Item ${place + 1}`);
        article.addEventListener("focusin", () => { if (place !== at) show(place); });
        lay(article, row);
        return article;
      }));
      window.scrollTo(0, 0);
    }
    const article = articles()[at - shown];
    for (const each of articles()) each.setAttribute("aria-current", String(each === article));
    article.scrollIntoView({ block: "nearest", behavior: "instant" });
    find("question").textContent = question.text;
    find("buttons").replaceChildren(...question.choices.map(([choice, words], number) => {
      const button = make("button");
      button.type = "button";
      button.value = choice;
      button.append(make("kbd", choice === "cannot" ? "0" : String(number + 1)), ` ${words}`);
      button.addEventListener("click", () => choose(choice));
      return button;
    }));
    form.elements.category.replaceChildren(...["", ...question.categories].map((name) => new Option(name || "choose…", name)));
    fill();
    article.focus({ preventScroll: true });
  };

  const current = () => kept.labels[items[at]?.id];

  const fill = () => {
    const [item, label] = [items[at], current()];
    for (const button of find("buttons").children) {
      button.setAttribute("aria-pressed", String(button.value === label?.choice));
    }
    find("severity").hidden = !(questions[item.question].severity && label?.choice === "yes" && !item.practice);
    for (const radio of form.elements.severity) radio.checked = Number(radio.value) === label?.severity;
    form.elements.category.value = label?.category ?? "";
    find("reason").hidden = label?.choice !== "cannot";
    form.elements.reason.value = label?.reason ?? "";
    find("back").disabled = at === 0;
    find("next").disabled = lacks(item);
    for (const [row, article] of [...articles()].entries()) {
      const { id, question } = items[shown + row];
      article.querySelector(".label").textContent = new Map(questions[question].choices).get(kept.labels[id]?.choice) ?? "";
    }
    const known = item.practice;
    const feedback = find("feedback");
    feedback.hidden = !(known && label);
    if (known && label) {
      const words = new Map(questions[item.question].choices).get(known.choice);
      const right = label.choice === known.choice;
      feedback.className = right ? "right" : "wrong";
      feedback.dir = "auto";
      feedback.textContent = `${right ? "Right" : `We would choose “${words}”`}. ${known.why}`;
    }
  };

  /** Whether an item has no whole label yet. */
  const lacks = ({ id, question, practice }) => {
    const label = kept.labels[id];
    if (label?.choice === "cannot") return label.reason.trim() === "";
    return !label || (questions[question].severity && label.choice === "yes" && !practice && !label.severity);
  };

  const change = (changes) => {
    const { id, shown } = items[at];
    // Rows of a table are in view together: each takes its part of the time.
    const before = current() ?? { id, shown, severity: null, category: "", reason: "", seconds: inView() / ++labelled };
    kept.labels[id] = { ...before, ...changes, at: new Date().toISOString(), device: kept.device };
    if (served && !kept.waiting.includes(id)) kept.waiting.push(id);
    keep();
    fill();
    send();
  };

  const choose = (choice) => {
    find("guidelines").open = false; // read before the first label
    const same = current()?.choice === choice;
    change(same ? { choice } : { choice, severity: null, category: "", reason: "" });
    if (choice === "cannot") form.elements.reason.focus();
    else if (find("severity").hidden && !items[at].practice) show(at + 1);
    else find("severity").hidden ? find("next").focus() : form.elements.severity[0].focus();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!lacks(items[at])) show(at + 1);
  });
  form.elements.reason.addEventListener("input", (event) => change({ reason: event.target.value }));
  form.elements.category.addEventListener("change", (event) => change({ category: event.target.value }));
  for (const radio of form.elements.severity) {
    radio.addEventListener("change", () => change({ severity: Number(radio.value) }));
  }
  find("back").addEventListener("click", () => show(at - 1));
  find("review").addEventListener("click", () => show(items.length - 1));

  const view = () => {
    find("view").textContent = kept.table ? "One at a time" : "Table";
    document.body.classList.toggle("rows", kept.table);
    shown = -1;
  };
  find("view").addEventListener("click", () => {
    kept.table = !kept.table;
    keep();
    view();
    show(at);
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=radio]), select");
    // A key that is held down must not label the next item, too.
    if (event.repeat || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowLeft" && at > 0 && !event.target.matches("[type=radio]")) show(at - 1);
    else if (event.key === "?") find("guidelines").toggleAttribute("open");
    else if (event.key === "v") find("view").click();
    else if (!items[at]) return;
    else if (event.key === "ArrowRight" && !lacks(items[at]) && !event.target.matches("[type=radio]")) show(at + 1);
    else if (event.key === "Enter" && !event.target.matches("button, summary, a") && !lacks(items[at])) show(at + 1);
    else if (!find("severity").hidden && /^[1-3]$/.test(event.key)) change({ severity: Number(event.key) });
    else {
      const options = [...find("buttons").children];
      const found = event.key === "0" ? options.at(-1)
        : options[Number(event.key) - 1] ?? options.find(({ value }) => value[0] === event.key.toLowerCase());
      if (!found) return;
      choose(found.value);
    }
    event.preventDefault();
  });

  // ---- Begin ----------------------------------------------------------------------------------

  find("who").textContent = data.annotator;
  find("guidelines").open = Object.keys(kept.labels).length === 0;
  if (served) {
    // Without a reply, the server may come back; with any other reply it is a plain web server.
    const reply = await fetch("labels").catch(() => null);
    connected = reply === null || reply.ok;
    const known = reply?.ok ? (await reply.json()).labels : [];
    for (const label of known) {
      if (!kept.waiting.includes(label.id)) kept.labels[label.id] = label;
    }
  }
  // A label for other texts is no label of these.
  for (const { id, shown } of items) if (kept.labels[id]?.shown !== shown) delete kept.labels[id];
  kept.waiting = kept.waiting.filter((id) => kept.labels[id]);
  keep();
  view();
  show(items.length);  // the first without a label
  document.body.dataset.ready = "";
  send();
})();
