// Dark or light: what the system prefers until a person says otherwise.

const KEY = "chaintide.theme";
const system = matchMedia("(prefers-color-scheme: light)");

/** Return `dark` or `light`. */
export function theme() {
  return document.documentElement.dataset.theme;
}

/** Return a colour of the style sheet. */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Set the theme, let `button` toggle it, and tell `onChange`. */
export function start(button, onChange) {
  const set = (name) => {
    document.documentElement.dataset.theme = name;
    button.setAttribute("aria-pressed", String(name === "light"));
    onChange();
  };
  const chosen = () => localStorage.getItem(KEY) ?? (system.matches ? "light" : "dark");
  button.addEventListener("click", () => {
    localStorage.setItem(KEY, theme() === "dark" ? "light" : "dark");
    set(chosen());
  });
  system.addEventListener("change", () => set(chosen()));
  set(chosen());
}
