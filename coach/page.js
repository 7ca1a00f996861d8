/* The page's own behaviour: controls inside texts, keyboard, announcements. Nothing here talks to another host. */
(() => {
  "use strict";

  const find = (selector, root = document) => root.querySelector(selector);
  const wide = () => matchMedia("(min-width: 900px)").matches;
  let carry = () => {}; // takes a verb and its value to the server; set once the page stands
  let voice = async () => ""; // a sentence as sound from the server, or nothing when no voice is installed there
  let sought = null; // the passage to show when the sources it belongs to have come

  window.coachPage = {
    connect(verbs, trigger, say) {
      voice = say;
      carry = (verb, value) => verbs.includes(verb) && trigger(verb, { value });
    },
    focus() {
      const box = find("#composer textarea");
      // On a touch screen the keyboard would cover what has just been answered.
      if (box && matchMedia("(pointer: fine)").matches) box.focus({ preventScroll: true });
    },
    hear() {
      setTimeout(() => [...document.querySelectorAll("#chat button[name=read]")].pop()?.click(), 300);
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
  function words(text) {
    const copy = text.cloneNode(true);
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

  /* Reading aloud, sentence by sentence: the next one is fetched while one is heard. */
  let reading = null;

  async function read(button) {
    const again = reading?.button === button;
    if (reading) reading.stop();
    if (again) return;
    const message = button.closest("[data-testid=bot]");
    const parts = [...message.querySelectorAll(".say, .task")];
    const texts = parts.map(words);
    const job = { button, ended: false, halt: () => {} };
    job.stop = () => { job.ended = true; job.halt(); };
    reading = job;
    button.textContent = "Stop reading";
    let next = voice(texts[0]);
    for (let n = 0; n < parts.length && !job.ended; n++) {
      const sound = await next.catch(() => "");
      if (job.ended) break;
      next = n + 1 < parts.length ? voice(texts[n + 1]) : null;
      parts[n].classList.add("saying");
      await heard(job, sound, texts[n]);
      parts[n].classList.remove("saying");
    }
    button.textContent = "Read it aloud";
    if (reading === job) reading = null;
  }

  function heard(job, sound, text) {
    return new Promise((done) => {
      if (sound) {
        const player = new Audio(sound);
        job.halt = () => { player.pause(); done(); };
        player.onended = player.onerror = done;
        player.play().catch(done);
      } else if (window.speechSynthesis) {
        const utterance = new SpeechSynthesisUtterance(text.replace(/[$\\]/g, ""));
        utterance.lang = "en";
        utterance.onend = utterance.onerror = done;
        job.halt = () => { speechSynthesis.cancel(); done(); };
        speechSynthesis.speak(utterance);
      } else {
        trouble("This browser cannot read aloud, and no voice is installed; install the extra \"voice\".");
        job.ended = true;
        done();
      }
    });
  }

  /* Recording: one click begins, one ends; the file goes where an uploaded one goes. */
  const MOST = 300; // seconds
  const REFUSALS = {
    NotAllowedError: "The microphone was refused. Allow it beside the address of this page, or type your answer.",
    NotFoundError: "No microphone was found. Plug one in and try again, upload a recording, or type your answer.",
    NotReadableError: "Another program is using the microphone. Close it and try again, or type your answer.",
  };
  let recording = null;

  function trouble(text) {
    const place = find("#recorder .trouble");
    place.textContent = text;
    place.hidden = !text;
  }

  async function record() {
    trouble("");
    if (reading) reading.stop();
    if (!navigator.mediaDevices || !window.MediaRecorder) {
      trouble(
        "Browsers give the microphone only to localhost and to https. Open this page on the machine it runs on, or " +
          "start the coach with --ssl-certfile and --ssl-keyfile. Typing and uploading a recording work here too.",
      );
      return;
    }
    carry("listen", "");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch (error) {
      trouble(REFUSALS[error.name] || `The microphone cannot be used (${error.message}). You can type your answer.`);
      return;
    }
    const recorder = new MediaRecorder(stream, { audioBitsPerSecond: 96000 });
    const pieces = [];
    const context = new AudioContext();
    const meter = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(meter);
    const wave = new Float32Array(meter.fftSize);
    const began = performance.now();
    recording = { kept: true, end: () => recorder.state !== "inactive" && recorder.stop() };
    const tick = setInterval(() => {
      const seconds = Math.floor((performance.now() - began) / 1000);
      find("#recorder .time").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      meter.getFloatTimeDomainData(wave);
      const level = Math.sqrt(wave.reduce((sum, value) => sum + value * value, 0) / wave.length);
      find("#recorder meter").value = Math.min(1, level * 6);
      if (seconds >= MOST) {
        recording.end();
        trouble("Five minutes are the longest answer; the recording ended there.");
      }
    }, 100);
    recorder.ondataavailable = (event) => pieces.push(event.data);
    recorder.onstop = () => {
      clearInterval(tick);
      for (const track of stream.getTracks()) track.stop();
      context.close();
      const { kept } = recording;
      recording = null;
      showRecorder();
      if (kept) hand(new Blob(pieces, { type: recorder.mimeType.split(";")[0] }));
    };
    recorder.start();
    showRecorder();
  }

  function showRecorder() {
    find("#recorder .recorder").hidden = !recording;
    find("#recorder .time").textContent = "0:00";
    const mic = find("#mic");
    mic?.classList.toggle("on", Boolean(recording));
    mic?.setAttribute("aria-label", recording ? "Stop recording" : "Record");
    mic?.setAttribute("aria-pressed", String(Boolean(recording)));
  }

  function hand(blob) {
    const ending = { "audio/mp4": "mp4", "audio/ogg": "ogg" }[blob.type] || "webm";
    const files = new DataTransfer();
    files.items.add(new File([blob], `answer.${ending}`, { type: blob.type }));
    upload(files.files);
  }

  function upload(files) {
    const input = find("#write input[type=file]");
    input.files = files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  document.addEventListener(
    "change",
    async (event) => {
      if (!find("#stop") || !event.target.matches("#write input[type=file]")) return;
      event.stopImmediatePropagation();
      const { files } = event.target;
      trouble("Your recording is kept, and is written down when the reply has ended.");
      await replied();
      trouble("");
      upload(files);
    },
    true, // before the page's own listeners
  );

  document.addEventListener("click", (event) => {
    const control = event.target.closest("#mic, #recorder button");
    if (control && recording) {
      recording.kept = control.name !== "discard";
      recording.end();
      return;
    }
    if (control?.id === "mic") {
      record();
      return;
    }
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
      copied(words(find(".message-content", button.closest("[data-testid=bot]")))).then(() => {
        button.textContent = "Copied";
        setTimeout(() => (button.textContent = "Copy"), 1500);
      });
    } else if (name === "read") {
      read(button);
    } else if (name === "source") {
      const target = value.split("/");
      sought = target;
      if (!reveal(...target)) carry(name, value);
    } else if (name === "sources") {
      sought = [value, 1, 0];
      if (!reveal(...sought)) carry("source", `${value}/1/0`);
    } else if (["quiz", "contest", "claim", "point", "edit", "retry"].includes(name)) {
      unoccupied(() => carry(name, value));
    } else {
      carry(name, value);
    }
  });

  async function replied() {
    const moment = (length) => new Promise((done) => setTimeout(done, length));
    while (find("#stop")) await moment(50);
    await moment(200); // the server has still to put the reply away
  }

  /* Whoever takes the next step has read enough of the reply that is still being written: it ends, as with Stop. */
  let step = null; // the last one wished for while a reply ends

  async function unoccupied(next) {
    if (!find("#stop")) {
      next();
      return;
    }
    const ending = step !== null;
    step = next;
    if (ending) return;
    find("#stop").click();
    await replied();
    const last = step;
    step = null;
    last();
  }

  document.addEventListener(
    "click",
    (event) => {
      const button = find("#stop") && event.target.closest("#doing button, #mode label");
      if (!button) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      unoccupied(() => button.click());
    },
    true, // before the page's own listeners
  );

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const close = find("#state-close");
    const stop = find("#stop");
    if (reading) reading.stop();
    else if (close) close.click();
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
    const text = words(find(".message-content", last));
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
    if (shown && shown !== card) find("#aside").scrollTo({ top: 0 });
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
    for (const cite of document.querySelectorAll("#chat .cite:not([aria-label])")) cite.setAttribute("aria-label", cite.title);
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
