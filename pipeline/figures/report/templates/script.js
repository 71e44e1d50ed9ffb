"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches);
  const name = () => { button.textContent = isDark() ? "Light page" : "Dark page"; };
  // A file of its own may be refused storage: the choice then lasts as long as the page.
  const stored = (act) => { try { return act(localStorage); } catch { return null; } };

  const wanted = stored((storage) => storage.getItem("vemseg-theme"));
  if (wanted === "light" || wanted === "dark") root.dataset.theme = wanted;
  button.hidden = false;
  name();
  systemIsDark.addEventListener("change", name);
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored((storage) => storage.setItem("vemseg-theme", root.dataset.theme));
    name();
  });

  // What is folded on a screen is of no use on paper.
  const folded = new Set();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      folded.add(details);
      details.open = true;
    }
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
    folded.clear();
  });
})();
