"use strict";
// Keeps an open page current. The page is complete without it; this only swaps <main> when something changed.
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource || !window.fetch || !window.DOMParser) return;
  const news = document.getElementById("news");
  const POLL_MS = 60000;
  let source = null, wait = 2000, busy = false, again = false, retry = 0;

  const heard = (node) => (node.querySelector("h1") || node).textContent.trim();

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-cache", headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = fresh.querySelector("main");
      if (next) swap(next, fresh);
    } catch {
      // The next event or the next poll tries again.
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  }

  function swap(next, fresh) {
    const now = document.querySelector("main");
    if (now.contains(document.activeElement) && document.activeElement.matches("input")) return;
    const closed = new Map();
    now.querySelectorAll("details[id]").forEach((each) => closed.set(each.id, each.open));
    next.querySelectorAll("details[id]").forEach((each) => {
      if (closed.has(each.id)) each.open = closed.get(each.id);
    });
    const place = focusPath(now);
    const before = heard(now);
    const x = scrollX, y = scrollY;
    now.replaceChildren(...next.childNodes);
    if (place) restoreFocus(now, place);
    scrollTo({ left: x, top: y, behavior: "instant" });
    document.title = fresh.title;
    const footer = document.querySelector("footer"), nextFooter = fresh.querySelector("footer");
    if (footer && nextFooter && !footer.contains(document.activeElement)) footer.replaceWith(nextFooter);
    const icon = document.querySelector("link[rel=icon]");
    if (icon) icon.href = icon.href.split("?")[0] + "?" + Date.now();
    const after = heard(now);
    if (before !== after && news) news.textContent = news.dataset.text + " " + after;
  }

  // A link or summary is found again by what it points to, not by where it stood.
  function focusPath(now) {
    const active = document.activeElement;
    if (!active || active === now || !now.contains(active)) return null;
    const href = active.getAttribute("href");
    const box = active.tagName === "SUMMARY" ? active.parentElement.id : "";
    return { href, box };
  }

  function restoreFocus(now, place) {
    let found = null;
    if (place.box) found = document.querySelector("#" + CSS.escape(place.box) + " > summary");
    else if (place.href) found = [...now.querySelectorAll("a")].find((each) => each.getAttribute("href") === place.href);
    (found || now).focus({ preventScroll: true });
  }

  function listen() {
    clearTimeout(retry);
    source = new EventSource("/events");
    source.addEventListener("open", () => { wait = 2000; });
    source.addEventListener("changed", refresh);
    source.addEventListener("error", () => {
      source.close();
      retry = setTimeout(listen, wait + Math.random() * 1000);
      wait = Math.min(wait * 2, 120000);
    });
  }

  // A copy of the site has nobody who could tell it of changes: it looks now and then.
  const told = main.dataset.live !== "poll";
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { if (told) { source.close(); clearTimeout(retry); } } else { refresh(); if (told) listen(); }
  });
  setInterval(() => { if (!document.hidden) refresh(); }, POLL_MS);
  if (told) listen();
})();
