"use strict";
// Keeps an open page current. The page is complete without it; this only swaps what changed of [data-live].
(() => {
  const EVERY_MS = 1000, SLOWEST_MS = 15000;
  const idle = Number(document.body.dataset.idle || 1800) * 1000;
  let touched = Date.now(), wait = EVERY_MS, timer = 0, busy = false;

  // Looking is not using: an unattended page must not keep its session alive for ever.
  for (const each of ["pointerdown", "keydown", "scroll"]) {
    addEventListener(each, () => { touched = Date.now(); wake(); }, { passive: true });
  }
  document.addEventListener("visibilitychange", wake);

  function wake() { if (!timer && !busy && !document.hidden) timer = setTimeout(look, EVERY_MS); }

  function told(text) {
    const note = document.getElementById("live-note");
    if (note && note.textContent !== text) note.textContent = text;
  }

  async function look() {
    timer = 0;
    if (document.hidden) return;
    if (Date.now() - touched > idle) { told(document.body.dataset.still || ""); return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", headers: { accept: "text/html" } });
      // A database that is away comes back; whoever is logged out, or looks at what is gone, is told by the page.
      if (answer.status >= 500) throw new Error("away");
      if (!answer.ok || answer.redirected) { location.reload(); return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      swap(fresh);
      told("");
      wait = EVERY_MS;
      if (!fresh.querySelector("[data-live-on]")) return;
    } catch {
      told(document.body.dataset.away || "");
      wait = Math.min(wait * 2, SLOWEST_MS);
    } finally {
      busy = false;
    }
    timer = setTimeout(look, wait);
  }

  function swap(fresh) {
    for (const now of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(now.id);
      if (!next || next.innerHTML === now.innerHTML) continue;
      const active = document.activeElement;
      const place = now.contains(active) ? active.id : "";
      for (const each of now.querySelectorAll("details[id]")) {
        const same = next.querySelector("#" + CSS.escape(each.id));
        if (same) same.open = each.open;
      }
      now.replaceChildren(...next.childNodes);
      if (place) document.getElementById(place)?.focus({ preventScroll: true });
    }
    if (document.title !== fresh.title) document.title = fresh.title;
  }

  wake();
})();
