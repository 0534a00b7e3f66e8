// The page's own script: theme, dialogs, relative times, logs that follow, files on their way, the run's state as title.
(() => {
  "use strict";
  const root = document.documentElement;
  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  root.dataset.bsTheme = stored || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.classList.add("js");

  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const spell = new Intl.RelativeTimeFormat(root.lang || "en", { numeric: "auto", style: "short" });
  const relative = (at) => {
    const seconds = (at - Date.now()) / 1000;
    const [unit, size] = UNITS.find(([, s]) => Math.abs(seconds) >= s) || UNITS[3];
    return spell.format(Math.trunc(seconds / size), unit);
  };
  const times = () => document.querySelectorAll("time[data-relative]").forEach((node) => {
    const text = relative(Date.parse(node.dateTime));
    if (node.textContent !== text) node.textContent = text;
  });

  // A log follows its end until somebody scrolls up, and again once they are back at the end. Known by the node: a poll
  // that morphs the page takes away every attribute that the server does not send.
  const watched = new WeakSet(), paused = new WeakSet();
  const logs = () => document.querySelectorAll("[data-follow]").forEach((node) => {
    if (!watched.has(node)) {
      watched.add(node);
      node.addEventListener("scroll", () => {
        paused[node.scrollHeight - node.scrollTop - node.clientHeight > 40 ? "add" : "delete"](node);
      });
    }
    if (!paused.has(node)) node.scrollTop = node.scrollHeight;
  });

  const title = () => {
    const node = document.querySelector("[data-title]");
    if (!node) return;
    document.title = node.dataset.title;
    const icon = document.querySelector("link[rel=icon]"), now = node.dataset.icon;
    if (now && icon.getAttribute("href") !== now) icon.setAttribute("href", now);
  };
  const refresh = () => { times(); logs(); title(); };

  document.addEventListener("click", (event) => {
    const on = (selector) => event.target.closest(selector);
    if (on("[data-theme-switch]")) {
      root.dataset.bsTheme = root.dataset.bsTheme === "dark" ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.bsTheme); } catch { /* private mode: this page only */ }
    }
    if (on("[data-close]")) { event.preventDefault(); on("dialog")?.close(); }
    if (on("[data-print]")) window.print();
    const all = on("[data-all]"), boxes = all && document.querySelectorAll(`input[name="${all.dataset.all}"]`);
    boxes?.forEach((one) => { one.checked = all.checked; });
  });

  // Ctrl-K or ? opens the way to every page; the arrows walk through what it offers.
  document.addEventListener("keydown", (event) => {
    const asks = event.key === "?" && !event.target.closest("input, textarea, select");
    if (asks || (event.key === "k" && (event.ctrlKey || event.metaKey))) {
      const opener = document.querySelector("[data-jump]");
      if (opener) { event.preventDefault(); opener.click(); }
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], list = step && document.getElementById("places");
    if (!list) return;
    const stops = [document.getElementById("jump-to"), ...list.querySelectorAll("a")];
    const next = stops[stops.indexOf(document.activeElement) + step];
    if (stops.includes(document.activeElement)) { event.preventDefault(); next?.focus(); }
  });

  // How much of a large file is sent: htmx tells nothing of it. Without this script the form is sent as any other.
  const send = (form) => {
    const bar = form.querySelector("progress"), request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("HX-Request", "true");
    request.upload.onprogress = (event) => { bar.hidden = false; bar.max = event.total; bar.value = event.loaded; };
    request.onload = () => {
      const next = request.getResponseHeader("HX-Redirect");
      if (next) { location.assign(next); return; }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      document.querySelector("main")?.replaceWith(page.querySelector("main") || page.body);
    };
    request.onerror = () => { bar.hidden = true; form.submit(); };
    request.send(new FormData(form));
  };
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-upload]")) return;
    event.preventDefault();
    event.submitter?.setAttribute("disabled", "");
    send(event.target);
  });

  document.addEventListener("htmx:after:swap", () => {
    const dialog = document.getElementById("dialog");
    if (dialog && !dialog.open && dialog.querySelector("form")) dialog.showModal();
    refresh();
  });
  document.addEventListener("close", (event) => {
    if (event.target.id === "dialog") event.target.querySelector("#dialog-body").replaceChildren();
  }, true);
  document.addEventListener("DOMContentLoaded", () => { refresh(); setInterval(times, 10000); });
})();
