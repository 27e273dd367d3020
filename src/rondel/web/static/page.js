// What every module uses: finding, saying, the address, dialogs, writes.
// @ts-check

/** @param {string} selector @param {ParentNode} root @returns {HTMLElement | null} */
export const $ = (selector, root = document) => root.querySelector(selector);
/** @param {string} selector @param {ParentNode} root @returns {HTMLElement[]} */
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Say something for three seconds. @param {string} text */
export function say(text) {
  const toast = /** @type {HTMLElement} */ ($("#toast"));
  toast.textContent = text;
  setTimeout(() => { if (toast.textContent === text) toast.textContent = ""; }, 3000);
}

/** Copy a text, or the page's address for "link"; without a secure origin the browser has only the old way. @param {string} text */
export async function copy(text) {
  if (text === "link") text = location.href;
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else {
    const field = document.createElement("textarea");
    field.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  say("Copied.");
}

/** Put `name=value` into the address without a request; an empty value takes it out. @param {string} name @param {string} value */
export function keepInAddress(name, value) {
  const url = new URL(location.href);
  value ? url.searchParams.set(name, value) : url.searchParams.delete(name);
  history.replaceState(history.state, "", url);
}

/** Show a dialog whose contents the server renders. @param {string} href */
export async function openDialog(href) {
  typed = "";
  try {
    const answer = await fetch(href, { headers: { "HX-Request": "true" } });
    const holder = /** @type {HTMLElement} */ ($("#dialogs"));
    holder.innerHTML = await answer.text();
    const dialog = holder.querySelector("dialog");
    if (!dialog) return say(answer.ok ? "Nothing to show." : `${answer.status}: ${holder.textContent?.trim().slice(0, 200)}`);
    globalThis.htmx?.process(holder);
    dialog.addEventListener("close", () => { holder.textContent = ""; });
    const form = /** @type {HTMLFormElement | null} */ (dialog.querySelector("form[data-api]"));
    if (form) (await import("./form.js")).begin(form);
    dialog.showModal();
    const field = /** @type {HTMLElement | null} */ (dialog.querySelector("[autofocus], input, select, textarea"));
    field?.focus();
    if (typed && field instanceof HTMLInputElement) {
      field.value += typed;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
  } finally {
    typed = null;
  }
}

/** @type {string | null} */
let typed = null;

/** Whether a dialog is on its way: what is typed meanwhile is for its field. @param {KeyboardEvent} event */
export function isForDialog(event) {
  if (typed === null) return false;
  if (event.key.length === 1 && !event.ctrlKey && !event.metaKey) { typed += event.key; event.preventDefault(); }
  return true;
}

/** Send a write to the public API; the page is asked for again when it went well. @param {string} path @param {unknown} body @param {string} method */
export async function send(path, body, method = "POST") {
  const answer = await fetch(path, { method, headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(body) });
  if (answer.ok) return { ok: true, said: "", param: "", body: await answer.json().catch(() => null) };
  const told = await answer.json().catch(() => null);
  const error = told?.error ?? told ?? {};
  const said = [error.message ?? (typeof told?.detail === "string" ? told.detail : `The server answered ${answer.status}.`), error.hint].filter(Boolean).join(" ");
  const id = answer.headers.get("x-request-id");
  return { ok: false, said: id ? `${said} (request ${id})` : said, param: String(error.param ?? ""), body: null };
}

/** What keys do on this page; each module adds its own. @type {Record<string, () => void>} */
export const keys = {};
