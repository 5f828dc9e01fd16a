// What the console adds to pages that work without it: live parts, keys, the
// choice of light or dark, and times as distances. It writes text alone, never HTML.
(() => {
  "use strict";
  const root = document.documentElement;
  const store = (area, name, value) => {
    try {
      if (value === undefined) return area().getItem(name);
      value === null ? area().removeItem(name) : area().setItem(name, value);
    } catch { /* private windows keep nothing */ }
    return null;
  };
  const local = () => window.localStorage, session = () => window.sessionStorage;
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  // Light or dark, before anything is painted.
  const theme = (name) => {
    if (name === "light" || name === "dark") root.dataset.theme = name; else delete root.dataset.theme;
  };
  theme(store(local, "finobs-theme"));
  root.classList.add("scripted");

  // Times as distances from now.
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const distance = (seconds) => {
    const past = seconds < 0, size = Math.abs(Math.round(seconds));
    if (size < 1) return "now";
    let text = "";
    for (let i = 0; i < units.length; i++) {
      const [unit, name] = units[i];
      if (size < unit) continue;
      text = Math.floor(size / unit) + " " + name;
      const rest = size % unit;
      if (i < 2 && rest >= units[i + 1][0]) text += " " + Math.floor(rest / units[i + 1][0]) + " " + units[i + 1][1];
      break;
    }
    return past ? text + " ago" : "in " + text;
  };
  let ahead = 0; // of the server's clock before this machine's, in milliseconds
  const tick = () => all("time[data-distance]").forEach((t) => {
    const at = Date.parse(t.dateTime);
    if (Number.isNaN(at)) return;
    const left = (at - Date.now() - ahead) / 1000;
    const text = distance(left);
    if (t.textContent !== text) t.textContent = text;
    if (t.dataset.distance === "due") {
      t.classList.toggle("late", left < 0);
      t.classList.toggle("soon", left >= 0 && left < 900);
    }
  });

  const say = (text) => {
    const live = document.getElementById("announce");
    if (live) live.textContent = text;
  };

  // Parts that are made anew when the record moves. A part in which somebody is at
  // work is left alone and says that it is old.
  const busy = (part) => {
    if (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return true;
    return all("input, select, textarea", part).some((f) => f.type === "hidden" ? false :
      f.type === "checkbox" || f.type === "radio" ? f.checked !== f.defaultChecked :
      f.tagName === "SELECT" ? Array.from(f.options).some((o) => o.selected !== o.defaultSelected) : f.value !== f.defaultValue);
  };
  const due = new Set(), missed = new Set();
  let timer = 0;
  const refresh = () => {
    timer = 0;
    if (document.hidden) return;
    const streams = new Set(due);
    due.clear();
    all("[data-live]").forEach((part) => {
      const wanted = part.dataset.live.split(" ").some((s) => streams.has(s) || s === "all" && streams.size > 0);
      const subject = part.dataset.subject;
      if (!wanted && !streams.has("*") || subject && !streams.has(subject) && !streams.has("*")) return;
      if (busy(part)) { part.classList.add("stale-shown"); return; }
      // What is being fetched may be older than this, and takes the part's place.
      if (part.classList.contains("htmx-request")) { streams.forEach((s) => missed.add(s)); return; }
      window.htmx && window.htmx.trigger(part, "renew");
    });
  };
  const renew = (...streams) => {
    streams.forEach((s) => due.add(s));
    if (!timer) timer = setTimeout(refresh, 300);
  };

  // One stream of events for the whole page, taken up again where it broke off. A
  // tab that nobody sees has none: browsers open few connections to one server.
  let cursor = "", wait = 1000, source = null, retry = 0;
  const remember = () => cursor && store(session, "finobs-cursor", JSON.stringify([cursor, Date.now()]));
  const recall = () => {
    try {
      const [id, at] = JSON.parse(store(session, "finobs-cursor") || "[]");
      if (/^\d+$/.test(id) && Date.now() - at < 60000) cursor = id;
    } catch { /* it starts from now */ }
  };
  const listen = () => {
    clearTimeout(retry);
    if (source || document.hidden) return;
    const opened = source = new EventSource("/sse/all" + (cursor ? "?after=" + encodeURIComponent(cursor) : ""));
    const status = document.getElementById("link");
    const linked = (yes) => { if (status) status.textContent = yes ? "live" : "not live"; };
    const take = (e) => {
      if (e.lastEventId) cursor = e.lastEventId;
      try {
        const m = JSON.parse(e.data);
        if (!e.lastEventId && m.cursor) cursor = String(m.cursor);
        renew(String(m.stream), m.subject ? m.subject.type + ":" + m.subject.id : "");
      } catch { /* not for us */ }
    };
    source.onopen = () => { linked(true); if (wait > 1000) renew("*"); wait = 1000; };
    source.onmessage = take;
    source.onerror = () => {
      linked(false);
      if (opened.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      source = null;
      retry = setTimeout(listen, wait);
      wait = Math.min(wait * 2, 60000);
    };
  };
  const hush = () => {
    if (source) source.close();
    source = null;
  };

  // Keys. None decides anything: a and r lead to the form, which asks for a reason.
  let at = -1, went = 0;
  const rows = () => all("[data-row]");
  const move = (step) => {
    const list = rows();
    if (!list.length) return;
    at = Math.max(0, Math.min(list.length - 1, at + step));
    list.forEach((r, i) => r.classList.toggle("at", i === at));
    const link = list[at].querySelector("a");
    (link || list[at]).focus();
    list[at].scrollIntoView({ block: "nearest" });
  };
  const form = (name) => {
    const target = document.querySelector(`[data-key="${name}"]`);
    if (!target) { say("There is no such form here."); return; }
    const fold = target.closest("details");
    if (fold) fold.open = true;
    if (target.matches("input[type=radio]")) {
      target.checked = true;
      const reason = target.form && target.form.querySelector("textarea");
      (reason || target).focus();
    } else target.focus();
    target.scrollIntoView({ block: "center" });
  };
  const help = () => {
    const dialog = document.getElementById("help");
    if (dialog && !dialog.open) dialog.showModal();
  };
  const press = (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
    const inField = e.target.closest && e.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea, dialog");
    if (inField) {
      if (e.key === "Escape" && !e.target.closest("dialog")) e.target.blur();
      return;
    }
    if (went && Date.now() - went < 1500) {
      went = 0;
      const tab = document.querySelector(`[data-go="${CSS.escape(e.key)}"]`);
      if (tab) { e.preventDefault(); window.location.assign(tab.href); }
      return;
    }
    const keys = {
      j: () => move(1), k: () => move(-1), a: () => form("approve"), r: () => form("reject"), e: () => form("escalate"),
      c: () => form("comment"), "/": () => form("filter"), "?": help, g: () => { went = Date.now(); },
      o: () => { const row = rows()[at], link = row && row.querySelector("a"); if (link) link.click(); },
    };
    if (!Object.hasOwn(keys, e.key)) return;
    e.preventDefault();
    keys[e.key]();
  };

  // A batch is of one risk: the first choice decides which.
  const batch = () => {
    const boxes = all("input[data-tier]"), chosen = boxes.filter((b) => b.checked);
    boxes.forEach((b) => { b.disabled = chosen.length > 0 && b.dataset.tier !== chosen[0].dataset.tier; });
    const text = chosen.length ? `${chosen.length} of ${chosen[0].dataset.tier} risk chosen` : "none chosen";
    all("[data-chosen]").forEach((o) => { o.textContent = text; });
  };

  const start = () => {
    const made = Date.parse(document.body.dataset.now);
    if (!Number.isNaN(made)) ahead = Math.abs(made - Date.now()) > 5000 ? made - Date.now() : 0;
    tick();
    setInterval(tick, 1000);
    batch();
    const choice = document.getElementById("theme");
    if (choice) {
      choice.value = root.dataset.theme || "";
      choice.addEventListener("change", () => { theme(choice.value); store(local, "finobs-theme", choice.value || null); });
    }
    document.addEventListener("keydown", press);
    document.addEventListener("change", (e) => { if (e.target.matches("input[data-tier]")) batch(); });
    document.addEventListener("click", (e) => {
      const button = e.target.closest("[data-do]");
      if (!button) return;
      if (button.dataset.do === "help") help();
      if (button.dataset.do === "reload") window.location.reload();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) { hush(); return; }
      if (due.size) refresh();
      if (document.body.dataset.signedIn) listen();
    });
    document.body.addEventListener("htmx:afterSwap", () => { tick(); batch(); at = Math.min(at, rows().length - 1); });
    document.body.addEventListener("htmx:afterSettle", (e) => {
      if (e.target && e.target.dataset && e.target.dataset.announce) say(e.target.dataset.announce);
    });
    document.body.addEventListener("htmx:afterRequest", () => {
      if (missed.size) renew(...missed);
      missed.clear();
    });
    // A server that does not answer for a moment leaves nothing old behind.
    const failed = (e) => {
      const status = e.detail.xhr.status;
      if (e.target.matches("[data-live]") && (!status || status >= 500)) setTimeout(() => renew("*"), 3000);
    };
    document.body.addEventListener("htmx:responseError", failed);
    document.body.addEventListener("htmx:sendError", failed);
    window.addEventListener("pagehide", remember);
    if (document.body.dataset.signedIn) { recall(); listen(); }
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
