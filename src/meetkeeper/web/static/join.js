/*
 * The invitees' door while somebody stands before it: counts down by the server's clock, asks the server now and then
 * how the meeting stands, and shows what has become of it without a reload. Without scripts the page reloads itself.
 */
(() => {
  "use strict";
  const SECOND = 1000;
  const ASK_SLOWLY_MS = 30 * SECOND;
  const ASK_QUICKLY_MS = 2 * SECOND;
  const JITTER_MS = 1.5 * SECOND;

  const main = document.getElementById("main");
  const said = document.getElementById("said");
  const room = document.body.dataset.roomWatch ? document.body : null;
  const holder = room || main;
  const watch = holder && (holder.dataset.watch || holder.dataset.roomWatch);
  if (!watch) return;

  let ahead = Number(holder.dataset.now) - Date.now();
  let opens = Number(holder.dataset.opens || 0);
  let state = holder.dataset.state || "room";
  let asked = 0;
  let lastSaid = "";

  const now = () => Date.now() + ahead;

  function words(ms) {
    const seconds = Math.max(0, Math.ceil(ms / SECOND));
    const days = Math.floor(seconds / 86400);
    if (days > 1) return `in ${days} days`;
    const clock = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
    if (!clock[0]) clock.shift();
    return clock.map((part, place) => (place ? String(part).padStart(2, "0") : String(part))).join(":");
  }

  function spoken(ms) {
    const minutes = Math.ceil(ms / (60 * SECOND));
    if (minutes > 60 || minutes < 1) return "";
    return minutes === 1 ? "The meeting opens within a minute." : `The meeting opens in ${minutes} minutes.`;
  }

  function say(text) {
    if (text && text !== lastSaid && said) {
      lastSaid = text;
      said.textContent = text;
    }
  }

  function tick() {
    const place = document.querySelector("[data-countdown]");
    if (state === "waiting" && place) {
      const left = opens - now();
      place.textContent = words(left);
      const minutes = Math.ceil(left / (60 * SECOND));
      if ([60, 30, 15, 10, 5, 2, 1].includes(minutes)) say(spoken(left));
      if (left <= 0 && Date.now() - asked > ASK_QUICKLY_MS + Math.random() * JITTER_MS) ask();
    }
  }

  async function show() {
    const answer = await fetch(location.pathname, { headers: { accept: "text/html" }, cache: "no-store" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) return;
    main.replaceChildren(...fresh.childNodes);
    for (const name of ["state", "opens", "ends", "now"]) {
      if (fresh.dataset[name]) main.dataset[name] = fresh.dataset[name];
    }
    document.title = page.title;
    state = main.dataset.state;
    opens = Number(main.dataset.opens || 0);
    const pin = document.getElementById("pin");
    const heading = main.querySelector("h1");
    if (pin) pin.focus();
    if (heading) say(heading.textContent);
  }

  async function ask() {
    asked = Date.now();
    try {
      const answer = await fetch(watch, { cache: "no-store" });
      if (!answer.ok) return;
      const told = await answer.json();
      ahead = told.now - Date.now();
      if (room) {
        document.getElementById("ending").hidden = !told.ending;
        document.getElementById("ends").textContent = told.ends_words;
      } else if (told.state !== state || told.opens !== opens) {
        if (document.activeElement && document.activeElement.value && told.state === state) return;
        await show();
      }
    } catch {
      /* the network is away: the next question may be answered */
    }
  }

  const pace = () => (state === "opening" || state === "stopped" ? ASK_QUICKLY_MS : ASK_SLOWLY_MS);

  setInterval(tick, SECOND / 4);
  (function again() {
    setTimeout(async () => {
      if (state !== "over" && state !== "cancelled" && state !== "facts") await ask();
      again();
    }, pace() + Math.random() * JITTER_MS);
  })();
  tick();
})();
