"use strict";

// Theme: the system's choice until the reader presses the button.
(() => {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const describe = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    describe();
  });
  system.addEventListener("change", describe);
  describe();
  button.hidden = false;
})();

// Filters: a prompt is shown when one of its answers passes; answers that were looked for by text
// or outcome are marked, and all others of the chosen models stay beside them to compare.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const samples = Array.from(document.querySelectorAll(".sample"), (element) => ({
    element,
    prompt: element.querySelector(".prompt").textContent.toLowerCase(),
    answers: Array.from(element.querySelectorAll(".answer"), (answer) => ({
      element: answer,
      text: answer.querySelector(".text").textContent.toLowerCase(),
      model: answer.dataset.model,
      outcome: answer.dataset.outcome,
    })),
  }));
  const found = document.getElementById("found");
  const more = document.getElementById("more");
  const page = 8;
  let limit = page;

  const apply = () => {
    const wanted = Object.fromEntries(new FormData(form));
    const text = wanted.text.trim().toLowerCase();
    let matches = 0;
    for (const { element, prompt, answers } of samples) {
      const { axis, language } = element.dataset;
      const inScope = (!wanted.axis || axis === wanted.axis)
        && (!wanted.language || language === wanted.language);
      let hits = 0;
      for (const answer of answers) {
        const ofModel = !wanted.model || answer.model === wanted.model;
        const passes = ofModel && (!wanted.outcome || answer.outcome === wanted.outcome)
          && (!text || prompt.includes(text) || answer.text.includes(text));
        answer.element.hidden = !ofModel;
        answer.element.classList.toggle("hit", passes && Boolean(wanted.outcome || text));
        hits += passes;
      }
      const passes = inScope && hits > 0;
      element.hidden = !passes || matches >= limit;
      matches += passes;
    }
    const shown = Math.min(matches, limit);
    more.hidden = matches <= limit;
    found.textContent = `${matches} of ${samples.length} prompts match`
      + (shown < matches ? `, the first ${shown} are shown` : "");
  };

  form.addEventListener("input", () => { limit = page; apply(); });
  more.addEventListener("click", () => { limit += page; apply(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
  form.hidden = false;
})();
