// The client kernel: pages without reload, live search, forms, live regions, drafts and keys. Everything also works
// without it; it only takes the waiting out. It makes no HTML of its own: it places what the server answered.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const body = document.body, page = document.documentElement, status = $("#status");
  const workerURL = $("meta[name=karov-worker]").content;

  // The only doors into the DOM and into workers: answers of our own server, and our one worker.
  const door = {
    createHTML: (html) => html,
    createScriptURL: (url) => { if (url !== workerURL) throw new TypeError("foreign script"); return url; },
  };
  const policy = window.trustedTypes ? trustedTypes.createPolicy("karov", door) : door;
  const parse = (html) => new DOMParser().parseFromString(policy.createHTML(html), "text/html");
  const morph = (now, fresh, options) => Idiomorph.morph(now, fresh, { morphStyle: "outerHTML", ...options });
  const say = (text) => { if (text) { status.textContent = ""; requestAnimationFrame(() => { status.textContent = text; }); } };

  // ---- asking the server ----
  class Gone extends Error {}
  async function ask(url, kind, init = {}) {
    const res = await fetch(url, { credentials: "same-origin", ...init, headers: { "Karov-Request": kind, Accept: "text/html", ...init.headers } });
    if (res.status === 401) { // the session is over; what was typed is kept as a draft
      location.href = "/sign-in?next=" + encodeURIComponent(location.pathname + location.search);
      throw new Gone();
    }
    return res;
  }

  function toast(node) {
    const box = $("#toasts"), shut = document.createElement("button");
    shut.type = "button"; shut.className = "button quiet"; shut.textContent = box.dataset.close;
    shut.onclick = () => box.replaceChildren();
    box.replaceChildren(node, shut);
  }
  function lost() {
    const note = document.createElement("p");
    note.textContent = $("#toasts").dataset.lost;
    toast(note);
  }

  // ---- pages without reload ----
  let turn = null;
  const build = (root) => $("script[src*='/kernel.']", root)?.getAttribute("src");
  const fits = (doc) => $("#main", doc) && build(doc) === build(document) && doc.documentElement.lang === page.lang;

  async function go(url, { push = true, y = 0 } = {}) {
    turn?.abort();
    const mine = turn = new AbortController();
    page.dataset.busy = "";
    try {
      const res = await ask(url, "page", { signal: mine.signal });
      const doc = parse(await res.text());
      if (!res.ok || !fits(doc)) { location.href = url; return; }
      show(doc, res.url + new URL(url, location).hash, { push, y });
    } catch (e) {
      if (!(e instanceof Gone) && !mine.signal.aborted) location.href = url;
    } finally {
      if (turn === mine) delete page.dataset.busy;
    }
  }

  function show(doc, url, { push = true, y = 0, keep = false } = {}) {
    const to = new URL(url, location), same = to.pathname === location.pathname;
    if (push && to.href !== location.href) {
      history.replaceState({ y: scrollY }, "");
      history.pushState({ y: 0 }, "", to);
    }
    const main = $("#main"), fresh = $("#main", doc);
    if (same) Idiomorph.morph(main, [...fresh.childNodes], { morphStyle: "innerHTML" });
    else main.replaceChildren(...fresh.childNodes);
    for (const id of ["menu", "alerts"]) morph(document.getElementById(id), doc.getElementById(id));
    document.title = doc.title;
    for (const next of all("header input[name=next]")) next.value = location.pathname + location.search;
    body.dataset.token = doc.body.dataset.token;
    shutLookup();
    arrive();
    if (!keep) scrollTo(0, y);
    const goal = $("[aria-invalid=true]", main) || $("[autofocus]", main) || $("h1", main) || main;
    if (!same || !main.contains(document.activeElement)) goal.focus({ preventScroll: true });
    atEnd();
    say(document.title);
  }

  addEventListener("popstate", (e) => go(location.href, { push: false, y: e.state?.y || 0 }));
  history.scrollRestoration = "manual";

  addEventListener("click", (e) => {
    for (const open of all("details[data-closes][open]")) if (!open.contains(e.target)) open.open = false;
    if (e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    const a = e.target.closest("a[href]");
    if (!a || a.target || a.hasAttribute("download") || "plain" in a.dataset || a.origin !== location.origin) return;
    if (a.hash && a.pathname + a.search === location.pathname + location.search) return;
    e.preventDefault();
    if (a.dataset.part) more(a); else go(a.href);
  });

  // "More" at the end of a list: the rows that follow take the place of the link.
  async function more(a) {
    const holder = a.closest("[data-more]");
    if (holder.dataset.busy) return;
    holder.dataset.busy = "1";
    try {
      const res = await ask(a.dataset.part, "part");
      if (!res.ok) { location.href = a.href; return; }
      const rows = [...parse("<ul>" + await res.text() + "</ul>").body.firstElementChild.children];
      holder.replaceWith(...rows);
      $("a, button", rows[0])?.focus({ preventScroll: true });
    } catch (e) { if (!(e instanceof Gone)) { delete holder.dataset.busy; lost(); } }
  }

  // ---- forms ----
  addEventListener("submit", (e) => {
    const form = e.target;
    if (e.defaultPrevented || "plain" in form.dataset || form.method === "dialog") return;
    e.preventDefault();
    const data = new FormData(form, e.submitter), address = form.getAttribute("action");
    if (form.method === "get") go(address + "?" + new URLSearchParams(data)); else send(form, address, data, e.submitter);
  });

  async function send(form, address, data, button) {
    if (form.dataset.busy) return; // a second click; the key in the form would make it harmless anyway
    form.dataset.busy = "1";
    form.setAttribute("aria-busy", "true");
    button?.setAttribute("aria-disabled", "true");
    try {
      const coded = form.enctype === "multipart/form-data" ? data : new URLSearchParams(data);
      const res = await ask(address, "form", { method: "POST", body: coded, headers: { "X-Karov-Token": body.dataset.token } });
      const doc = parse(await res.text());
      if (res.ok) all("[data-draft]", form).forEach(dropDraft);
      if (fits(doc)) show(doc, res.url, { push: res.redirected });
      else place(form, doc);
    } catch (err) {
      if (!(err instanceof Gone)) lost();
    } finally {
      delete form.dataset.busy;
      form.removeAttribute("aria-busy");
      button?.removeAttribute("aria-disabled");
    }
  }

  // Each fragment takes the place of the element with its id; a failure goes where the form keeps room for it.
  function place(form, doc) {
    for (const fresh of [...doc.body.children]) {
      const now = fresh.id && document.getElementById(fresh.id);
      if (now) morph(now, fresh);
      else if ("failure" in fresh.dataset) {
        const slot = $("[data-slot=failure]", form);
        if (slot) slot.replaceChildren(fresh); else toast(fresh);
      } else if ("say" in fresh.dataset) say(fresh.dataset.say);
    }
    arrive();
    ($("[aria-invalid=true]") || $("[data-then-focus]"))?.focus();
    atEnd();
  }

  // ---- drafts: what somebody types outlives the session, the tab and the browser ----
  const draftKey = (field) => "karov.draft." + body.dataset.person + "." + field.dataset.draft;
  const dropDraft = (field) => { try { localStorage.removeItem(draftKey(field)); } catch { /* storage is shut off */ } };
  function keepDraft(field) {
    if (!field.value) return dropDraft(field);
    try { localStorage.setItem(draftKey(field), JSON.stringify({ text: field.value, key: field.form._key?.value, at: Date.now() })); } catch { /* full or shut off */ }
  }
  function restoreDrafts() {
    for (const field of all("[data-draft]")) {
      let kept = null;
      try { kept = JSON.parse(localStorage.getItem(draftKey(field))); } catch { continue; }
      if (!kept || field.value) continue;
      field.value = kept.text;
      if (kept.key && field.form._key) field.form._key.value = kept.key; // it may have been sent just before the crash
    }
  }
  function forgetOldDrafts() {
    try {
      for (const key of Object.keys(localStorage)) {
        if (key.startsWith("karov.draft.") && Date.now() - JSON.parse(localStorage.getItem(key)).at > 30 * 864e5) localStorage.removeItem(key);
      }
    } catch { /* storage is shut off */ }
  }
  addEventListener("input", (e) => { if (e.target.dataset?.draft) keepDraft(e.target); });

  // ---- lookup: each keystroke asks, the last answer wins, equal rows stay ----
  const box = $("#lookup"), list = $("#lookup-list"), foot = $("#lookup-foot"), popover = $("#lookup-popover");
  let asking = null, shown = "", enter = false;

  async function look() {
    asking?.abort();
    const q = box.value.trim();
    if (!q) return shutLookup();
    const mine = asking = new AbortController();
    try {
      const res = await ask(box.dataset.results + "?q=" + encodeURIComponent(q), "part", { signal: mine.signal });
      const doc = parse(await res.text());
      if (mine !== asking || !res.ok) return;
      choose(null);
      keepRows(list, $("#lookup-list", doc));
      morph(foot, $("#lookup-foot", doc));
      shown = q;
      popover.hidden = false;
      box.setAttribute("aria-expanded", "true");
      choose(list.firstElementChild);
      if (enter) openChosen();
    } catch (e) { if (!(e instanceof Gone) && !mine.signal.aborted) lost(); }
  }
  function keepRows(now, fresh) {
    const known = new Map([...now.children].map((row) => [row.id, row]));
    let at = now.firstElementChild;
    for (const row of [...fresh.children]) {
      if (at?.isEqualNode(row)) { at = at.nextElementSibling; continue; }
      const same = known.get(row.id);
      now.insertBefore(same?.isEqualNode(row) ? same : row, at);
      if (same && same !== at && !same.isEqualNode(row)) same.remove();
    }
    while (at) { const next = at.nextElementSibling; at.remove(); at = next; }
  }
  const chosen = () => $("[aria-selected=true]", list);
  function choose(row) {
    chosen()?.setAttribute("aria-selected", "false");
    row?.setAttribute("aria-selected", "true");
    row?.scrollIntoView({ block: "nearest" });
    if (row) box.setAttribute("aria-activedescendant", row.id); else box.removeAttribute("aria-activedescendant");
  }
  function openChosen() {
    enter = false;
    const row = chosen(), q = box.value.trim();
    go(row ? row.dataset.href : "/lookup?q=" + encodeURIComponent(q));
  }
  function shutLookup() {
    asking?.abort(); asking = null; shown = ""; enter = false;
    popover.hidden = true;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }
  box.addEventListener("input", look);
  box.addEventListener("focus", () => { box.select(); if (box.value.trim() && box.value.trim() !== $("#main [data-query]")?.dataset.query) look(); });
  box.addEventListener("keydown", (e) => {
    const row = chosen();
    if (e.key === "ArrowDown") choose(row?.nextElementSibling || list.firstElementChild);
    else if (e.key === "ArrowUp") choose(row?.previousElementSibling || list.lastElementChild);
    else if (e.key === "Enter" && !e.isComposing && box.value.trim()) { if (shown === box.value.trim()) openChosen(); else { enter = true; if (!asking) look(); } }
    else if (e.key === "Escape" && !popover.hidden) shutLookup();
    else if (e.key === "Escape") { box.value = ""; box.blur(); }
    else return;
    e.preventDefault();
  });
  popover.addEventListener("mousedown", (e) => e.preventDefault()); // the box keeps the focus
  const pick = (e) => {
    const row = e.target.closest("[role=option]");
    if (!row) return;
    if (e.button === 1 || e.ctrlKey || e.metaKey) open(row.dataset.href, "_blank", "noopener"); else if (!e.button) go(row.dataset.href);
  };
  list.addEventListener("click", pick);
  list.addEventListener("auxclick", pick);
  box.addEventListener("blur", () => setTimeout(() => { if (!popover.contains(document.activeElement) && document.activeElement !== box) shutLookup(); }));

  // ---- live regions: a name was heard, the region that shows it reads itself again ----
  const reading = new Set(), again = new Set(), asleep = new Set();
  function heard({ names, state }) {
    if (state) $("#offline").hidden = state !== "down";
    if (state === "over") ask("/live/still", "part").catch(() => {});
    for (const region of names ? all("[data-live]") : []) {
      if (names.includes("*") || region.dataset.live.split(" ").some((name) => names.includes(name))) reread(region.id);
    }
  }
  const rowsIn = (region) => region.dataset.rows ? all(region.dataset.rows, region).length : 0;
  async function reread(id) {
    if (document.hidden) { asleep.add(id); return; }
    if (reading.has(id)) { again.add(id); return; }
    const region = document.getElementById(id);
    if (!region) return;
    reading.add(id);
    try {
      const src = new URL(region.dataset.src, location);
      const asked = rowsIn(region);
      if (asked) src.searchParams.set("limit", asked);
      const res = await ask(src, "part");
      const fresh = res.ok && parse(await res.text()).getElementById(id), now = document.getElementById(id);
      if (now && (rowsIn(now) > asked || $("[data-more][data-busy]", now))) {
        setTimeout(reread, 250, id); // "more" was asked for meanwhile: this answer would take its rows away
      } else if (fresh && now) {
        const news = fresh.dataset.news && fresh.dataset.news !== now.dataset.news;
        const end = $("[data-arrive]", now), follow = end && end.getBoundingClientRect().top < innerHeight;
        morph(now, fresh, { ignoreActiveValue: true });
        if (follow) atEnd();
        if (news) say(fresh.dataset.newsText);
      }
    } catch { /* the stream tells of a lost server; the next name reads again */ } finally {
      reading.delete(id);
      if (again.delete(id)) reread(id);
    }
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) { const ids = [...asleep]; asleep.clear(); ids.forEach(reread); }
  });
  function listen() {
    if (window.SharedWorker) {
      const { port } = new SharedWorker(policy.createScriptURL(workerURL), { name: "karov" });
      port.onmessage = (e) => heard(e.data);
      addEventListener("pagehide", () => port.postMessage("bye"));
      return;
    }
    let source = null; // no shared worker here: a stream in the tab that is looked at
    const tune = () => {
      if (document.hidden) { source?.close(); source = null; return; }
      if (source) return;
      source = new EventSource("/live");
      source.onopen = () => heard({ state: "up", names: ["*"] });
      source.onerror = () => heard({ state: "down" });
      source.addEventListener("changed", (e) => heard({ names: e.data.split(" ") }));
      source.addEventListener("over", () => { source.close(); heard({ state: "over" }); });
    };
    document.addEventListener("visibilitychange", tune);
    tune();
  }

  // ---- keys, by letter where the layout is Latin, by place on the board where it is not ----
  const letterOf = (e) => {
    if (/^[a-z/?]$/i.test(e.key)) return e.key.toLowerCase();
    if (e.code === "Slash") return e.shiftKey ? "?" : "/";
    return /^Key[A-Z]$/.test(e.code) ? e.code[3].toLowerCase() : "";
  };
  let after = "";
  addEventListener("keydown", (e) => {
    const letter = letterOf(e), typing = e.target.closest?.("input, textarea, select, [contenteditable]");
    if ((e.ctrlKey || e.metaKey) && letter === "k") { e.preventDefault(); box.focus(); return; }
    if ((e.ctrlKey || e.metaKey) && e.key === "Enter" && e.target.form) { e.preventDefault(); e.target.form.requestSubmit(); return; }
    if (e.key === "Escape") for (const open of all("details[data-closes][open]")) { open.open = false; $("summary", open).focus(); }
    if (typing || e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || $("dialog[open]")) return;
    const inRows = e.target.closest?.("[data-list]");
    if (inRows && (e.key === "ArrowDown" || e.key === "ArrowUp")) { e.preventDefault(); step(e.key === "ArrowDown" ? 1 : -1); return; }
    if (!("keys" in body.dataset)) return;
    const pair = after === "g" && $(`#menu [data-go="${letter}"]`);
    after = letter === "g" ? "g" : "";
    if (pair) go(pair.href);
    else if (letter === "/") box.focus();
    else if (letter === "?") $("#keys").showModal();
    else if (letter === "n") go("/contacts/new");
    else if (letter === "r" && $("[data-reply]")) $("[data-reply]").focus();
    else if (letter === "j" || letter === "k") step(letter === "j" ? 1 : -1);
    else return;
    e.preventDefault();
  });
  function step(by) {
    const links = all("#main [data-list] [data-row]"), at = links.indexOf(document.activeElement);
    links[at < 0 ? 0 : Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
  }

  function arrive() {
    restoreDrafts();
    for (const slot of all("[data-later]")) reread(slot.id); // what the page did not wait for
  }
  function atEnd() { $("[data-arrive]")?.scrollIntoView({ block: "nearest" }); } // where a page is read from its end

  forgetOldDrafts();
  arrive();
  listen();
  atEnd();
  page.dataset.kernel = "ready";
})();
