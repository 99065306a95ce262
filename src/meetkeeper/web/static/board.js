/* The board's own clockwork: says when the stream of news is broken, follows a role that has moved to the other
   server, and brings the timeline's now line into view. */
(() => {
  "use strict";
  const broken = document.getElementById("broken");
  const LOST_AFTER_MS = 4000;
  const FOLLOW_EVERY_MS = 1000;
  let lost = 0;
  let following = 0;

  function link(state, text, tone) {
    const place = document.getElementById("link");
    if (!place || place.dataset.state === state) return;
    place.dataset.state = state;
    const tag = document.createElement("span");
    tag.className = `tag ${tone}`;
    tag.textContent = text;
    place.replaceChildren(tag);
  }

  function away() {
    link("away", "no connection", "bad");
    if (lost) return;
    lost = setTimeout(() => (broken.hidden = false), LOST_AFTER_MS);
    following = setInterval(follow, FOLLOW_EVERY_MS);
  }

  /* A script may not be led to another address, a page may: it is loaded anew as soon as this server follows another. */
  async function follow() {
    const answer = await fetch("/health/passive", { cache: "no-store" }).catch(() => null);
    if (answer && answer.ok) location.reload();
  }

  function back() {
    clearTimeout(lost);
    clearInterval(following);
    lost = 0;
    broken.hidden = true;
    link("live", "connected", "good");
  }

  document.addEventListener("htmx:sse:error", (event) => {
    if (event.detail && event.detail.status === 401) location.reload();
    away();
  });
  document.addEventListener("htmx:sse:before:connection", () => {
    if (lost) away();
  });
  document.addEventListener("htmx:sse:after:connection", back);
  document.addEventListener("htmx:sse:after:message", back);
  document.addEventListener("htmx:error", away);

  function bringNow() {
    const scroll = document.querySelector(".day-scroll");
    const now = document.querySelector(".now-label");
    if (!scroll || !now) return;
    const wanted = now.offsetLeft - scroll.clientWidth / 3;
    if (scroll.scrollWidth > scroll.clientWidth) scroll.scrollLeft = Math.max(0, wanted);
  }
  bringNow();
})();
