// The page's own script: theme, dialogs, relative times, logs that follow, title that shows the run's state.
(() => {
  "use strict";
  const root = document.documentElement;
  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.dataset.bsTheme = stored || system;
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

  // A log follows its end until somebody scrolls up, and again once they are back at the end.
  const logs = () => document.querySelectorAll("[data-follow]").forEach((node) => {
    if (!node.dataset.watched) {
      node.dataset.watched = "1";
      node.addEventListener("scroll", () => {
        node.dataset.paused = node.scrollHeight - node.scrollTop - node.clientHeight > 40 ? "1" : "";
      });
    }
    if (!node.dataset.paused) node.scrollTop = node.scrollHeight;
  });

  const title = () => {
    const node = document.querySelector("[data-title]");
    if (node) document.title = node.dataset.title;
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
    if (on("[data-all]")) {
      const box = on("[data-all]");
      document.querySelectorAll(`input[name="${box.dataset.all}"]`).forEach((one) => { one.checked = box.checked; });
    }
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
