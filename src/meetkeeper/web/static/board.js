/* The board's own clockwork: says when the stream of news is broken, and brings the timeline's now line into view. */
(() => {
  "use strict";
  const broken = document.getElementById("broken");
  const LOST_AFTER_MS = 4000;
  let lost = 0;

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
    if (!lost) lost = setTimeout(() => (broken.hidden = false), LOST_AFTER_MS);
  }

  function back() {
    clearTimeout(lost);
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
