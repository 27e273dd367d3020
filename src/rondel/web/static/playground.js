// The playground: every column is one stream of its own, read as it comes.
// @ts-check
import { $, $$, copy, say, send } from "./page.js";

const form = /** @type {HTMLFormElement} */ ($("#play"));
const holder = /** @type {HTMLElement} */ ($("#columns"));
const columns = () => $$("[data-column]", holder);
/** @type {WeakMap<HTMLElement, AbortController>} */ const asking = new WeakMap();
/** @type {WeakSet<HTMLElement>} */ const busy = new WeakSet();
/** @type {WeakMap<HTMLElement, string>} */ const answers = new WeakMap();
/** What was asked in a column, and what is known of its answer. @type {WeakMap<HTMLElement, any>} */ const asked = new WeakMap();

/** @param {HTMLElement} column @param {string} name @returns {any} */
const field = (column, name) => $(`[data-field="${name}"]`, column);
/** @param {HTMLElement} column @param {string} name @param {string} text */
const figure = (column, name, text) => { /** @type {HTMLElement} */ ($(`[data-figure="${name}"]`, column)).textContent = text; };
/** @param {HTMLElement} column @param {string} text @param {string} kind */
const state = (column, text, kind = "") => {
  const place = /** @type {HTMLElement} */ ($("[data-state]", column));
  place.textContent = text;
  place.className = kind || "mut";
};
const duration = (/** @type {number} */ ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);

/** Lines of `name=value`; a value is JSON when it can be read as such and `isJson`. @param {string} text @param {boolean} isJson */
function pairs(text, isJson) {
  /** @type {Record<string, unknown>} */ const found = {};
  for (const line of text.split("\n").filter((one) => one.trim())) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`${JSON.stringify(line)} is not written as name=value.`);
    const value = line.slice(at + 1).trim();
    let read = /** @type {unknown} */ (value);
    if (isJson) try { read = JSON.parse(value); } catch { /* plain text */ }
    found[line.slice(0, at).trim()] = read;
  }
  return found;
}

/** The address keeps everything but a text too long for one. */
function keep() {
  const url = new URL(location.href);
  url.search = "";
  for (const column of columns()) for (const name of ["prompt", "text", "model"]) url.searchParams.append(name, field(column, name).value);
  for (const name of ["input", "variables", "parameters"]) if (form.elements[name].value) url.searchParams.set(name, form.elements[name].value);
  if (url.href.length < 6000) history.replaceState(history.state, "", url);
}

function letter() {
  columns().forEach((column, index) => {
    const name = "ABCDEFGH"[index];
    /** @type {HTMLElement} */ ($("[data-letter]", column)).textContent = name;
    column.setAttribute("aria-label", `Column ${name}`);
    /** @type {HTMLElement} */ ($("[data-remove]", column)).hidden = columns().length === 1;
  });
  /** @type {HTMLButtonElement} */ ($("[data-add-column]")).disabled = columns().length >= Number(form.dataset.most);
  buttons();
}

/** Which buttons mean something now. */
function buttons() {
  const all = columns();
  const first = answers.get(all[0]);
  all.forEach((column, index) => {
    const isBusy = busy.has(column);
    /** @type {HTMLElement} */ ($("[data-stop]", column)).hidden = !isBusy;
    /** @type {HTMLElement} */ ($("[data-diff]", column)).hidden = !index || isBusy || !first || !answers.get(column);
    const saving = $("[data-save]", column);
    if (saving) saving.hidden = Boolean(field(column, "prompt").value) || !field(column, "text").value.trim();
    const keeping = $("[data-keep]", column);
    if (keeping) keeping.hidden = isBusy || !answers.get(column);
    const text = field(column, "text");
    text.disabled = Boolean(field(column, "prompt").value);
    text.placeholder = text.disabled ? "The prompt above is used" : "You are brief.";
  });
  /** @type {HTMLElement} */ ($("[data-stop-all]", form)).hidden = !all.some((column) => busy.has(column));
}

/** @param {HTMLElement} column @param {string} name @param {any} told */
function take(column, name, told) {
  const out = /** @type {HTMLElement} */ ($("[data-out]", column));
  if (name === "ended" || name === "failed") { busy.delete(column); buttons(); }
  if (told.first_ms !== undefined) figure(column, "first", duration(told.first_ms));
  if (told.total_ms !== undefined) figure(column, "total", duration(told.total_ms));
  if (name === "begun") {
    const link = /** @type {HTMLAnchorElement} */ ($("[data-trace]", column));
    if (told.trace) { link.href = `/traces/${told.trace}`; link.hidden = false; }
    Object.assign(asked.get(column), { trace: told.trace, release: told.release });
  } else if (name === "text") {
    const isAtEnd = out.scrollTop + out.clientHeight >= out.scrollHeight - 8;
    out.append(told.text);
    answers.set(column, (answers.get(column) ?? "") + told.text);
    state(column, "answers");
    if (isAtEnd) out.scrollTop = out.scrollHeight;
  } else if (name === "reasoning") state(column, "thinks");
  else if (name === "ended") {
    state(column, told.finish && told.finish !== "stop" ? `done: ${told.finish}` : "done");
    if (told.tokens_out !== null) figure(column, "tokens", `${(told.tokens_in ?? 0).toLocaleString("en")} → ${told.tokens_out.toLocaleString("en")}`);
  } else if (name === "failed") fail(column, told.message);
  else if (name === "stored") {
    figure(column, "cost", told.cost ?? (told.model === undefined ? "not stored yet" : "unknown"));
    Object.assign(asked.get(column), { span: told.span, served: told.model });
  }
}

/** @param {HTMLElement} column @param {string} message */
function fail(column, message) {
  state(column, "failed", "bad");
  const fault = document.createElement("div");
  fault.className = "fault";
  fault.setAttribute("role", "alert");
  fault.textContent = message;
  /** @type {HTMLElement} */ ($("[data-out]", column)).append(fault);
}

/** Server-sent events of a response, one by one. @param {Response} response */
async function* events(response) {
  let text = "";
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const [name, data] = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      yield { name: name.slice(7), told: JSON.parse(data.slice(6)) };
    }
  }
}

/** A column's question as the server takes it. @param {HTMLElement} column @param {any} shared */
function question(column, shared) {
  const prompt = field(column, "prompt").value.trim();
  return { ...shared, prompt, text: prompt ? "" : field(column, "text").value, model: field(column, "model").value.trim() };
}

/** What all columns are asked with. */
const common = () => ({ input: form.elements.input.value, variables: pairs(form.elements.variables.value, false), parameters: pairs(form.elements.parameters.value, true) });

/** @param {string} path @param {object} body @param {AbortSignal} [signal] */
const post = (path, body, signal) => fetch(path, { method: "POST", headers: { "Content-Type": "application/json", "HX-Request": "true" }, body: JSON.stringify(body), signal });

/** @param {HTMLElement} column @param {object} shared */
async function ask(column, shared) {
  const stop = new AbortController();
  asking.get(column)?.abort();
  asking.set(column, stop);
  busy.add(column);
  answers.delete(column);
  for (const name of ["first", "total", "tokens", "cost"]) figure(column, name, "–");
  /** @type {HTMLElement} */ ($("[data-out]", column)).textContent = "";
  /** @type {HTMLElement} */ ($("[data-diff]", column)).setAttribute("aria-pressed", "false");
  /** @type {HTMLElement} */ ($("[data-trace]", column)).hidden = true;
  /** @type {HTMLElement} */ ($("[data-kept]", column)).hidden = true;
  state(column, "asks");
  buttons();
  const body = question(column, shared);
  asked.set(column, { body });
  try {
    const answer = await post("/playground/ask", body, stop.signal);
    if (answer.ok) for await (const { name, told } of events(answer)) take(column, name, told);
    else fail(column, await refusal(answer));
  } catch (error) {
    if (asking.get(column) !== stop) return; // it is asked anew
    stop.signal.aborted ? state(column, "stopped") : fail(column, "The server does not answer.");
  } finally {
    if (asking.get(column) === stop) { asking.delete(column); busy.delete(column); }
    buttons();
  }
}

/** The sentence of an answer that is an error, as JSON or as a part of a page. @param {Response} answer */
async function refusal(answer) {
  const text = await answer.text();
  try { return String(JSON.parse(text).error.message); } catch { /* a part of a page */ }
  const template = document.createElement("template");
  template.innerHTML = text;
  return template.content.querySelector("b")?.textContent?.trim() || `The server answered ${answer.status}.`;
}

function run() {
  const said = /** @type {HTMLElement} */ ($(".said", form));
  said.textContent = "";
  try {
    const shared = common();
    keep();
    for (const column of columns()) ask(column, shared);
  } catch (error) {
    said.textContent = /** @type {Error} */ (error).message;
  }
}

const stopAll = () => columns().forEach((column) => { if (busy.has(column)) asking.get(column)?.abort(); });

/** Words of two texts side by side: the longest common run of words stays plain. @param {string} before @param {string} after */
function difference(before, after) {
  const [a, b] = [before, after].map((text) => (text.match(/\s+|[^\s]+/g) ?? []).slice(0, 3000));
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
  const found = document.createDocumentFragment();
  const tell = (/** @type {string} */ tag, /** @type {string} */ text) => {
    const last = /** @type {HTMLElement | null} */ (found.lastElementChild);
    if (last?.localName === tag) { last.textContent += text; return; }
    const part = document.createElement(tag);
    part.textContent = text;
    found.append(part);
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { tell("span", a[i]); i++; j++; }
    else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) tell("del", a[i++]);
    else tell("ins", b[j++]);
  }
  return found;
}

/** @param {HTMLElement} column @param {HTMLElement} button */
function compare(column, button) {
  const isOn = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(isOn));
  const out = /** @type {HTMLElement} */ ($("[data-out]", column));
  const own = answers.get(column) ?? "";
  out.replaceChildren(isOn ? difference(answers.get(columns()[0]) ?? "", own) : own);
}

/** A dialog with fields of our own; `act` gives the sentence of what went wrong, or nothing. @param {string} title @param {string} fields @param {string} button @param {(form: HTMLFormElement) => Promise<string>} act */
function dialogOf(title, fields, button, act) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", title);
  dialog.innerHTML = `<form method="dialog"><header><h2>${title}</h2></header><div class="body form">${fields}<p class="said" role="alert"></p><div class="ends"><button type="button" class="btn" data-close>Cancel</button><button class="btn pri">${button}</button></div></div></form>`;
  const inside = /** @type {HTMLFormElement} */ ($("form", dialog));
  inside.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = await act(inside);
    said ? (/** @type {HTMLElement} */ ($(".said", dialog)).textContent = said) : dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return inside;
}

/** Free text becomes a version of a prompt. @param {HTMLElement} column */
function save(column) {
  const text = field(column, "text").value;
  dialogOf("Save prompt", '<label>Name<input name="name" required maxlength="100" autofocus autocomplete="off" placeholder="support/answer"></label>', "Save version", async (inside) => {
    const takesInput = /\{\{\s*input\s*\}\}/.test(text);
    const messages = takesInput ? [{ role: "user", content: text }] : [{ role: "system", content: text }, { role: "user", content: "{{ input }}" }];
    const name = inside.elements.name.value.trim();
    const result = await send("/api/v1/prompts", { name, messages, note: "from the playground" });
    if (!result.ok) return result.said;
    field(column, "prompt").value = `${name}@${/** @type {any} */ (result.body).number}`;
    buttons();
    keep();
    say("Saved.");
    return "";
  });
}

/** JSON that is an object or a list is kept as such, other text as text. @param {string} text */
function value(text) {
  try {
    const read = JSON.parse(text);
    return read && typeof read === "object" ? read : text;
  } catch { return text; }
}

/** The question and its answer become an example, which knows the trace and span that they come from. @param {HTMLElement} column */
function keepExample(column) {
  const { body, trace, span, release, served } = asked.get(column);
  const answer = answers.get(column) ?? "";
  const fields = '<label>Dataset<input name="dataset" list="dataset-names" required maxlength="100" autofocus autocomplete="off" placeholder="support-golden"><small>A name that is new makes a dataset; an old one gets a version with this example at its end.</small></label><label>Question<textarea name="question" rows="2"></textarea></label><label>Right answer<textarea name="answer" rows="4"></textarea><small>Mend it where the model was wrong; empty leaves it open.</small></label>';
  const inside = dialogOf("Save as dataset item", fields, "Save example", async ({ elements }) => {
    const name = elements.dataset.value.trim();
    const [input, right] = [elements.question.value, elements.answer.value];
    const example = {
      input: Object.keys(body.variables).length ? { ...body.variables, messages: [{ role: "user", content: input }] } : input,
      expected: right.trim() ? value(right) : null,
      metadata: Object.fromEntries(Object.entries({ source: "playground", model: served || body.model, prompt: body.prompt, release, span_id: span, output: answer }).filter(([, told]) => told)),
      trace_id: trace || null,
    };
    const result = await send("/api/v1/datasets", { name, rows: [example], extend: true });
    if (!result.ok) return result.said;
    const { ref } = /** @type {any} */ (result.body);
    const link = /** @type {HTMLAnchorElement} */ ($("[data-kept]", column));
    link.href = `/datasets/${encodeURIComponent(ref)}`;
    link.textContent = `Kept in ${ref}`;
    link.hidden = false;
    return "";
  });
  inside.elements.question.value = body.input;
  inside.elements.answer.value = answer;
}

/** What the column asks, as somebody else would ask it. @param {HTMLElement} column @param {HTMLElement} button */
async function copyAs(column, button) {
  button.closest("details")?.removeAttribute("open");
  try {
    const answer = await post("/playground/copies", question(column, common()));
    answer.ok ? copy((await answer.json())[button.dataset.as ?? ""]) : say(await refusal(answer));
  } catch (error) { say(/** @type {Error} */ (error).message); }
}

document.addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.closest("[data-add-column]")) {
    const last = columns().at(-1);
    const made = /** @type {HTMLElement} */ (/** @type {HTMLTemplateElement} */ ($("#blank")).content.firstElementChild?.cloneNode(true));
    holder.append(made);
    if (last) for (const name of ["prompt", "text", "model"]) field(made, name).value = field(last, name).value;
    letter();
    keep();
    field(made, "model").focus();
    return;
  }
  if (target.closest("[data-stop-all]")) return stopAll();
  const column = /** @type {HTMLElement | null} */ (target.closest("[data-column]"));
  const button = /** @type {HTMLElement | null} */ (target.closest("[data-stop], [data-remove], [data-diff], [data-save], [data-keep], [data-as]"));
  if (!column || !button) return;
  if (button.dataset.stop !== undefined) asking.get(column)?.abort();
  else if (button.dataset.diff !== undefined) compare(column, button);
  else if (button.dataset.save !== undefined) save(column);
  else if (button.dataset.keep !== undefined) keepExample(column);
  else if (button.dataset.as) copyAs(column, button);
  else { asking.get(column)?.abort(); column.remove(); letter(); keep(); }
});

form.addEventListener("submit", (event) => { event.preventDefault(); run(); });
document.addEventListener("input", (event) => { if (/** @type {HTMLElement} */ (event.target).closest("#play, #columns")) { keep(); buttons(); } });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); }
  else if (event.key === "Escape" && !$("dialog[open]")) stopAll();
});
letter();
