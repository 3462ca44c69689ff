/* Loaded before anything is drawn: the page is light or dark as chosen, else as the system is. A plain script, since
   modules come too late for the first picture. */
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("aceproxy.theme");
    } catch {
      return null;
    }
  };
  const apply = () => {
    const kept = document.documentElement.dataset.chosenTheme || chosen();
    const theme = kept === "light" || kept === "dark" ? kept : system.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
  };
  system.addEventListener("change", apply);
  addEventListener("aceproxy-theme", apply);
  apply();
})();
