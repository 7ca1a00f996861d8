/* The page's own behaviour: controls inside texts, keyboard, announcements. Nothing here talks to another host. */
(() => {
  "use strict";

  const find = (selector, root = document) => root.querySelector(selector);
  const wide = () => matchMedia("(min-width: 900px)").matches;
  let carry = () => {}; // takes a verb and its value to the server; set once the page stands
  let sought = null; // the passage to show when the sources it belongs to have come

  window.coachPage = {
    connect(verbs, trigger) {
      carry = (verb, value) => verbs.includes(verb) && trigger(verb, { value });
    },
    focus() {
      const box = find("#composer textarea");
      // On a touch screen the keyboard would cover what has just been answered.
      if (box && matchMedia("(pointer: fine)").matches) box.focus({ preventScroll: true });
    },
    reveal() {
      if (sought) setTimeout(() => reveal(...sought), 120);
    },
  };

  function reveal(message, source, passage) {
    const card = find(`#source-${message}-${source}`);
    if (!card) return false;
    sought = null;
    find("#aside").classList.add("open");
    const place = find(`#used-${message}-${source}-${passage}`, card) || card;
    for (let fold = place; fold && fold.id !== "side"; fold = fold.parentElement) if (fold.open === false) fold.open = true;
    for (const old of document.querySelectorAll("#side .found")) old.classList.remove("found");
    place.classList.add("found");
    place.scrollIntoView({ block: "center", behavior: calm() ? "auto" : "smooth" });
    find("summary", card).focus({ preventScroll: true });
    return true;
  }

  /* The candidate's own words behind a verdict light up in the chat. */
  function light(name) {
    for (const old of document.querySelectorAll("#chat mark.lit")) old.classList.remove("lit");
    const marks = [...document.querySelectorAll(`#chat mark.said-${CSS.escape(name)}`)];
    for (const mark of marks) mark.classList.add("lit");
    if (marks.length) marks[0].scrollIntoView({ block: "center", behavior: calm() ? "auto" : "smooth" });
  }

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  /* The words of a message: formulas as TeX, citations as [1], without its controls. */
  function words(message) {
    const copy = find(".message-content", message).cloneNode(true);
    for (const part of copy.querySelectorAll(".row, .offers, .note, .copy_code_button")) part.remove();
    for (const cite of copy.querySelectorAll(".cite")) cite.replaceWith(` [${cite.textContent}]`);
    for (const formula of copy.querySelectorAll(".katex")) {
      const source = find("annotation", formula);
      formula.replaceWith(source ? `$${source.textContent.replace(/\\lt\s+/g, "< ")}$` : formula.textContent);
    }
    for (const block of copy.querySelectorAll("p, li, pre, h1, h2, h3, h4")) block.append("\n");
    return copy.textContent.replace(/\n{3,}/g, "\n\n").trim();
  }

  async function copied(text) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return;
    }
    const box = document.createElement("textarea"); // without https there is no clipboard object
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }

  document.addEventListener("click", (event) => {
    const fold = event.target.closest("#fold");
    if (fold) {
      find("#aside").classList.toggle("open");
      settle();
      return;
    }
    const verdict = event.target.closest("#side details.point > summary");
    if (verdict) light(verdict.parentElement.id.replace(/^point-/, ""));
    const button = event.target.closest("#chat button[name], #side button[name]");
    if (!button) return;
    event.preventDefault();
    const { name, value } = button;
    if (name === "copy") {
      copied(words(button.closest("[data-testid=bot]"))).then(() => {
        button.textContent = "Copied";
        setTimeout(() => (button.textContent = "Copy"), 1500);
      });
    } else if (name === "source") {
      const target = value.split("/");
      sought = target;
      if (!reveal(...target)) carry(name, value);
    } else if (name === "sources") {
      sought = [value, 1, 0];
      if (!reveal(...sought)) carry("source", `${value}/1/0`);
    } else {
      carry(name, value);
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const close = find("#state-close");
    const stop = find("#stop");
    if (close) close.click();
    else if (stop) stop.click();
  });

  /* A screen reader hears whole sentences: the log itself is silent, and finished sentences go to a live region. */
  const live = document.createElement("div");
  live.id = "live";
  live.setAttribute("aria-live", "polite");
  let spokenIn = 0;
  let spoken = 0;

  function announce(log) {
    const messages = log.querySelectorAll("[data-testid=bot]");
    const last = messages[messages.length - 1];
    if (!last || !find(".message-content", last)) return;
    if (messages.length !== spokenIn) [spokenIn, spoken] = [messages.length, 0];
    const text = words(last);
    const ends = [...text.matchAll(/[.?:](?=\s)|\n/g)];
    const done = find("#stop") ? (ends.length ? ends[ends.length - 1].index + 1 : 0) : text.length;
    if (done <= spoken) return;
    const sentence = document.createElement("p");
    sentence.textContent = text.slice(spoken, done);
    live.append(sentence);
    while (live.children.length > 4) live.firstChild.remove();
    spoken = done;
  }

  let messages = 0;
  let card = "";

  /* A new message is scrolled to, and a new scorecard is shown from its top. */
  function follow(log) {
    const count = log.querySelectorAll(".message-row").length;
    if (count > messages) log.scrollTo({ top: log.scrollHeight, behavior: calm() ? "auto" : "smooth" });
    messages = count;
    const shown = find("#side .score")?.textContent || "";
    if (shown && shown !== card) find("#side").scrollTo({ top: 0 });
    card = shown;
  }

  function settle() {
    const log = find("#chat [role=log]");
    if (log) {
      follow(log);
      if (log.getAttribute("aria-live") !== "off") log.setAttribute("aria-live", "off");
      for (const [kind, name] of [["user", "You"], ["bot", "Coach"]])
        for (const message of log.querySelectorAll(`[data-testid=${kind}]`))
          if (message.getAttribute("aria-label") !== name) message.setAttribute("aria-label", name);
      announce(log);
    }
    const named = { "#mode": "What to do", "#state": "What runs where", "#aside": "Beside the conversation" };
    for (const [selector, name] of Object.entries(named)) {
      const element = find(selector);
      if (element && !element.hasAttribute("aria-label")) element.setAttribute("aria-label", name);
    }
    find("#state")?.setAttribute("role", "dialog");
    find("#aside")?.setAttribute("role", "complementary");
    find("#fold")?.setAttribute("aria-expanded", String(find("#aside").classList.contains("open")));
    if (find("#aside") && !wide() && !find("#fold")) find("#aside").classList.remove("open");
  }

  let due = 0;
  function start() {
    document.documentElement.lang = "en";
    document.body.append(live);
    new MutationObserver(() => {
      if (!due) due = setTimeout(() => { due = 0; settle(); }, 250);
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  }
  // Gradio may add this script before or after the document has been read.
  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
