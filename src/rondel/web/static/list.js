// Rows of a list: move, open, pick, and the live tail. The address keeps the row and what is picked.
// @ts-check
import { $, $$, keepInAddress, keys, openDialog, say } from "./page.js";

const rows = () => $$("tr[data-href]");
const current = () => rows().findIndex((row) => row.getAttribute("aria-selected") === "true");
const picked = () => $$("tr[data-picked]").map((row) => row.dataset.id ?? "");

/** @param {number} index */
function select(index) {
  const all = rows();
  if (!all[index]) return;
  all.forEach((row, at) => (at === index ? row.setAttribute("aria-selected", "true") : row.removeAttribute("aria-selected")));
  all[index].scrollIntoView({ block: "nearest" });
  keepInAddress("row", all[index].dataset.id ?? "");
}

function pick() {
  const row = rows()[current()];
  if (!row) return;
  row.toggleAttribute("data-picked");
  keepInAddress("picked", picked().join(","));
}

/** The row and the picks that the address names. */
function restore() {
  const parameters = new URL(location.href).searchParams;
  const chosen = (parameters.get("picked") ?? "").split(",").filter(Boolean);
  const all = rows();
  for (const row of all) row.toggleAttribute("data-picked", chosen.includes(row.dataset.id ?? ""));
  const at = all.findIndex((row) => row.dataset.id === parameters.get("row"));
  if (at >= 0) all[at].setAttribute("aria-selected", "true");
  else if (all.length && current() < 0) all[0].setAttribute("aria-selected", "true");
}

function addToDataset() {
  const ids = picked().length ? picked() : [rows()[current()]?.dataset.id ?? ""];
  if (!ids[0]) return say("Choose a trace first: j, k and x.");
  openDialog(`/datasets/add?${ids.map((id) => `trace=${encodeURIComponent(id)}`).join("&")}`);
}

/** Drag over the histogram to choose a time. @param {PointerEvent} event */
function chooseTime(event) {
  const chart = /** @type {Element} */ (event.target).closest(".bars");
  if (!(chart instanceof SVGSVGElement)) return;
  const box = chart.getBoundingClientRect(), count = chart.viewBox.baseVal.width;
  const share = (/** @type {PointerEvent} */ at) => Math.min(Math.max((at.clientX - box.left) / box.width, 0), 1);
  const from = share(event);
  const shade = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  shade.setAttribute("class", "pick");
  shade.setAttribute("height", "100");
  chart.append(shade);
  const move = (/** @type {PointerEvent} */ at) => {
    shade.setAttribute("x", String(Math.min(from, share(at)) * count));
    shade.setAttribute("width", String(Math.abs(from - share(at)) * count));
  };
  const done = (/** @type {PointerEvent} */ at) => {
    removeEventListener("pointermove", move);
    shade.remove();
    const [low, high] = [Math.min(from, share(at)), Math.max(from, share(at))];
    if (high - low < 0.01) return;
    const since = Date.parse(chart.dataset.since ?? ""), width = Date.parse(chart.dataset.until ?? "") - since;
    const url = new URL(location.href);
    for (const name of ["range", "cursor", "row", "picked"]) url.searchParams.delete(name);
    url.searchParams.set("since", new Date(since + low * width).toISOString());
    url.searchParams.set("until", new Date(since + high * width).toISOString());
    location.href = url.href;
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", done, { once: true });
}

/** One stream of row patches; while the pointer is in the table they wait. @param {HTMLElement} button */
function toggleLive(button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  source?.close();
  source = null;
  keepInAddress("live", on ? "1" : "");
  if (!on) return;
  const query = new URL(location.href).searchParams;
  source = new EventSource(`${button.dataset.live}?${query}`);
  source.addEventListener("row", (event) => { waiting.push(event.data); flush(); });
  source.addEventListener("open", () => flush());
}

/** The live tail follows the filter that is shown. */
function followFilter() {
  const button = $("[data-live]");
  if (!source || !button) return;
  toggleLive(button);
  toggleLive(button);
}

/** @type {EventSource | null} */ let source = null;
/** @type {string[]} */ let waiting = [];

function flush() {
  const table = $("#rows"), button = $("[data-live]");
  const held = table?.matches(":hover") ?? false;
  button?.toggleAttribute("data-held", held && waiting.length > 0);
  if (held) return;
  const body = table?.querySelector("tbody");
  if (!body && waiting.length) { location.reload(); return; }
  for (const html of waiting.splice(0)) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    const row = /** @type {HTMLElement | null} */ (holder.content.querySelector("tr"));
    if (!row || !body) continue;
    const old = [...body.children].find((other) => /** @type {HTMLElement} */ (other).dataset.id === row.dataset.id);
    row.classList.add("fresh");
    old ? old.replaceWith(row) : body.prepend(row);
    while (body.children.length > 50) body.lastElementChild?.remove();
  }
}

export function startList() {
  document.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const live = /** @type {HTMLElement | null} */ (target.closest("[data-live]"));
    if (live) return toggleLive(live);
    const row = /** @type {HTMLElement | null} */ (target.closest("tr[data-href]"));
    if (row && !target.closest("a,input,button") && !getSelection()?.toString()) location.href = row.dataset.href ?? "";
    if (target.closest(".bar2 [data-key=d]")) addToDataset();
  });
  document.addEventListener("pointerdown", chooseTime);
  document.addEventListener("mouseout", () => setTimeout(flush, 30));
  document.addEventListener("htmx:after:swap", () => { restore(); followFilter(); });
  if (!rows().length && !$("[data-live]")) return;
  Object.assign(keys, {
    j: () => select(current() + 1),
    k: () => select(current() - 1),
    ArrowDown: () => select(current() + 1),
    ArrowUp: () => select(current() - 1),
    Enter: () => { const row = rows()[current()]; if (row) location.href = row.dataset.href ?? ""; },
    x: pick,
  });
  if ($("[data-live]")) keys.d = addToDataset;
  restore();
  const live = $("[data-live]");
  if (live && new URL(location.href).searchParams.get("live")) toggleLive(live);
}
