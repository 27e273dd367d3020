// What the server cannot do: keys, the theme, dialogs, copying, and posting to the public API. No framework.
// @ts-check
import { startList } from "./list.js";
import { $, $$, copy, isForDialog, keys, openDialog, say, send } from "./page.js";

/** A small dialog of our own, so that Enter and Escape do what they say. @param {HTMLElement} button */
function askThenPost(button) {
  const { post, ask, field, body } = button.dataset;
  const title = button.textContent?.trim() ?? "";
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", title);
  dialog.innerHTML = '<form method="dialog"><header><h2></h2></header><div class="body form"><p class="mut"></p><label hidden><span></span><input autofocus></label><p class="said" role="alert"></p><div class="ends"><button type="button" class="btn" data-close>Cancel</button><button class="btn pri"></button></div></div></form>';
  const find = (/** @type {string} */ selector) => /** @type {any} */ (dialog.querySelector(selector));
  find("h2").textContent = title;
  find(".mut").textContent = ask ?? "";
  find(".pri").textContent = title;
  if (field) { find("label").hidden = false; find("label span").textContent = field[0].toUpperCase() + field.slice(1); }
  find("form").addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const value = find("input").value.trim();
    const result = await send(post ?? "", { ...JSON.parse(body ?? "{}"), ...(field && value ? { [field]: value } : {}) }, button.dataset.method);
    result.ok ? location.reload() : (find(".said").textContent = result.said);
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {HTMLElement} button */
async function post(button) {
  if (button.dataset.ask || button.dataset.field) return askThenPost(button);
  button.setAttribute("disabled", "");
  const result = await send(button.dataset.post ?? "", JSON.parse(button.dataset.body ?? "{}"), button.dataset.method);
  button.removeAttribute("disabled");
  result.ok ? location.reload() : say(result.said);
}

function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = localStorage.theme = theme;
}

/** @param {HTMLElement} tab */
function showTab(tab) {
  for (const other of $$("[role=tab]", tab.parentElement ?? document)) {
    other.setAttribute("aria-selected", String(other === tab));
    const pane = document.getElementById(other.getAttribute("aria-controls") ?? "");
    if (pane) pane.hidden = other !== tab;
  }
}

document.addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const hit = /** @type {HTMLElement | null} */ (target.closest("[data-theme-toggle],[role=tab],[data-copy],[data-post],[data-dialog],[data-open],[data-close]"));
  for (const menu of $$("details.menu[open], details.scope[open]")) if (!menu.contains(target)) menu.removeAttribute("open");
  if (!hit) return;
  if (hit.dataset.themeToggle !== undefined) toggleTheme();
  else if (hit.dataset.copy !== undefined) { copy(hit.dataset.copy); hit.closest("details")?.removeAttribute("open"); }
  else if (hit.dataset.post) post(hit);
  else if (hit.dataset.dialog) openDialog(hit.dataset.dialog);
  else if (hit.dataset.open) openDialog(`/${hit.dataset.open}`);
  else if (hit.dataset.close !== undefined) hit.closest("dialog")?.close();
  else if (hit.getAttribute("role") === "tab") showTab(hit);
});

document.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.dataset.api) return;
  event.preventDefault();
  (await import("./form.js")).submit(form);
});

const PLACES = { l: "/", t: "/traces", m: "/monitors", d: "/datasets", p: "/prompts", e: "/experiments", o: "/models", r: "/releases", g: "/gateway", k: "/gateway/keys", y: "/playground", a: "/audit" };
let afterG = -Infinity;

Object.assign(keys, {
  "/": () => $("#q")?.focus(),
  "?": () => openDialog("/keys"),
  g: () => { afterG = performance.now(); },
});

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if ((event.ctrlKey || event.metaKey) && event.key === "k") { event.preventDefault(); openDialog("/jump"); return; }
  if (isForDialog(event)) return;
  if (target.closest("dialog")) return jumpKeys(event);
  if (target.matches("input,select,textarea")) { if (event.key === "Escape") target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const place = performance.now() - afterG < 1200 ? PLACES[/** @type {keyof typeof PLACES} */ (event.key)] : "";
  afterG = -Infinity;
  if (place) { location.href = place; return; }
  const button = /^[\w[\]]$/.test(event.key) ? $(`[data-key="${event.key}"]`) : null;
  const act = keys[event.key] ?? (button ? () => button.click() : null);
  if (act) { event.preventDefault(); act(); }
});

/** Arrows and Enter in the jump dialog. @param {KeyboardEvent} event */
function jumpKeys(event) {
  const links = $$("#jump li a");
  if (!links.length || !["ArrowDown", "ArrowUp", "Enter"].includes(event.key)) return;
  const at = links.findIndex((link) => link.hasAttribute("data-current"));
  event.preventDefault();
  if (event.key === "Enter") { links[Math.max(at, 0)].click(); return; }
  const next = Math.min(Math.max(at + (event.key === "ArrowDown" ? 1 : -1), 0), links.length - 1);
  links.forEach((link, index) => link.toggleAttribute("data-current", index === next));
  links[next].scrollIntoView({ block: "nearest" });
}

// A page with data-refresh asks for itself again, and swaps only its main region.
let refreshing = 0;
/** @param {string} part */
const refresh = (part) => $("dialog[open]") ?? globalThis.htmx?.ajax("GET", location.href, { target: part, select: part, swap: "outerHTML" });
document.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("[data-refresh]");
  if (!(button instanceof HTMLElement)) return;
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  clearInterval(refreshing);
  if (on) refreshing = setInterval(() => refresh(button.dataset.part ?? "#loop"), Number(button.dataset.refresh) * 1000);
});

// When an answer does not come, the old rows stay; a bar says what failed, with the request's id and a way to try again.
/** @param {string} said @param {() => void} again */
function tell(said, again) {
  const bar = /** @type {HTMLElement} */ ($("#trouble"));
  bar.textContent = said;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn";
  button.textContent = "Try again";
  button.addEventListener("click", () => { bar.textContent = ""; again(); });
  bar.append(button);
}

/** Ask the same again: a form by its change, anything else by loading the page. @param {any} context */
function repeat(context) {
  const source = context?.sourceElement;
  if (source instanceof HTMLFormElement) source.dispatchEvent(new Event("change", { bubbles: true }));
  else location.reload();
}

function watchTrouble() {
  document.addEventListener("htmx:before:response", (event) => {
    const context = /** @type {any} */ (event).detail?.ctx;
    const answer = context?.response;
    if (!answer || answer.status < 400) { const bar = $("#trouble"); if (bar) bar.textContent = ""; return; }
    event.preventDefault();
    if (answer.status === 401) { location.href = `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`; return; }
    answer.raw.text().then((/** @type {string} */ html) => {
      const holder = document.createElement("template");
      holder.innerHTML = html;
      const sentence = holder.content.querySelector("b")?.textContent?.trim() || "The server could not answer.";
      const id = answer.headers.get("x-request-id");
      tell(`${sentence} (${answer.status}${id ? `, request ${id}` : ""})`, () => repeat(context));
    });
  });
  document.addEventListener("htmx:error", (event) => {
    tell("The server did not answer; what you see is as it was.", () => repeat(/** @type {any} */ (event).detail?.ctx));
  });
}

watchTrouble();
startList();
document.documentElement.dataset.ready = performance.now().toFixed(1);
