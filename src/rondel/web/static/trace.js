// The waterfall: move, fold, jump to errors, and only the rows near the window of a long trace.
// @ts-check
import { $, $$, keepInAddress, keys, say } from "./page.js";

const ROW = 28;
const spans = () => $$(".wr:not([hidden])");

/** @param {HTMLElement} row */
function select(row) {
  for (const other of $$(".wr[aria-selected=true]")) other.setAttribute("aria-selected", "false");
  row.setAttribute("aria-selected", "true");
  row.scrollIntoView({ block: "nearest" });
  keepInAddress("span", row.dataset.span ?? "");
  const trace = /** @type {HTMLElement} */ ($(".wfb")).dataset.trace;
  clearTimeout(asking);
  asking = setTimeout(() => globalThis.htmx?.ajax("GET", `/traces/${trace}/spans/${row.dataset.span}`, { target: "#panel", swap: "innerHTML" }), 20);
}
let asking = 0;

/** @param {number} step @param {(row: HTMLElement) => boolean} test */
function move(step, test = () => true) {
  const all = spans();
  let at = all.findIndex((row) => row.getAttribute("aria-selected") === "true");
  for (at += step; at >= 0 && at < all.length; at += step) if (test(all[at])) return select(all[at]);
}

/** Close or open what hangs below; closed spans are kept in the address. @param {HTMLElement | null} row @param {boolean} open */
function fold(row, open) {
  if (!row?.hasAttribute("aria-expanded")) return;
  row.setAttribute("aria-expanded", String(open));
  hideBelow();
  keepInAddress("folded", $$('.wr[aria-expanded="false"]').map((other) => other.dataset.span).join(","));
}

/** Rows are hidden while an ancestor is closed; depths alone say which. */
function hideBelow() {
  let closedAt = Infinity;
  for (const row of $$(".wr")) {
    const depth = Number(row.dataset.depth);
    if (depth <= closedAt) closedAt = Infinity;
    row.hidden = depth > closedAt;
    if (!row.hidden && row.getAttribute("aria-expanded") === "false") closedAt = depth;
  }
}

function restoreFolds() {
  const folded = (new URL(location.href).searchParams.get("folded") ?? "").split(",");
  for (const row of $$(".wr[aria-expanded]")) if (folded.includes(row.dataset.span ?? "")) row.setAttribute("aria-expanded", "false");
  hideBelow();
}

/** Rows of a long trace come when they are near the window and go when they are far. */
function watchChunks() {
  const chunks = $$(".chunk");
  if (!chunks.length) return;
  const near = new IntersectionObserver(async (entries) => {
    for (const { target, isIntersecting } of entries) {
      const chunk = /** @type {HTMLElement} */ (target);
      if (isIntersecting && !chunk.dataset.filled) {
        chunk.dataset.filled = "1";
        const answer = await fetch(chunk.dataset.chunk ?? "");
        if (!answer.ok) { delete chunk.dataset.filled; say(`Spans could not be read: ${answer.status}. Scroll to try again.`); continue; }
        chunk.innerHTML = await answer.text();
        chunk.classList.replace("chunk", "filled");
        restoreFolds();
      } else if (!isIntersecting && chunk.dataset.filled && chunk.children.length > 1) {
        delete chunk.dataset.filled;
        chunk.textContent = "";
      }
    }
  }, { root: $(".wfb"), rootMargin: "1200px" });
  for (const chunk of chunks) {
    chunk.style.minHeight = `${Number(chunk.dataset.rows) * ROW}px`;
    near.observe(chunk);
  }
}

function start() {
  if (!$(".wfb")) return;
  document.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const row = /** @type {HTMLElement | null} */ (target.closest(".wr"));
    if (!row) return;
    if (target.closest(".tg")) fold(row, row.getAttribute("aria-expanded") === "false");
    else select(row);
  });
  Object.assign(keys, {
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    ArrowLeft: () => fold($(".wr[aria-selected=true]"), false),
    ArrowRight: () => fold($(".wr[aria-selected=true]"), true),
    e: () => move(1, (row) => row.classList.contains("error")),
    "[": () => neighbour("newer"),
    "]": () => neighbour("older"),
  });
  restoreFolds();
  watchChunks();
  $(".wr[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
}

/** @param {string} which */
async function neighbour(which) {
  const trace = /** @type {HTMLElement} */ ($(".wfb")).dataset.trace;
  const answer = await fetch(`/traces/${trace}/neighbour?which=${which}`);
  if (answer.redirected) location.href = answer.url;
  else say(`There is no ${which} trace.`);
}

start();
