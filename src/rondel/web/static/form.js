// Forms that write to the public API: `data-api="PUT /api/v1/routes/{name}"`. Loaded when the first one is opened.
// Fields become JSON over what was there (`data-base`), at the dotted name of each; `name:kind` is read as `READ` says.
// A list is `data-list="rules"` around items (`data-item`, each with a base of its own); `data-when="cache=exact"` shows
// a part only while that field says so, and a part that is not shown is not sent.
// @ts-check
import { $, $$, say, send } from "./page.js";

/** @typedef {HTMLInputElement & { disabled: boolean }} Field */
const LINES = "Write it as name=value, one a line.";

/** How a field's text is read, by the kind behind its name; undefined leaves it out. @type {Record<string, (text: string) => unknown>} */
const READ = {
  text: (text) => text || undefined,
  number: (text) => (text ? Number(text) : undefined),
  "number?": (text) => (text ? Number(text) : null),
  numbers: (text) => words(text).map(Number),
  dollars: (text) => Math.round(Number(text) * 1e9),
  list: words,
  json: (text) => {
    try { return text ? JSON.parse(text) : undefined; } catch { throw new Error("This is no JSON."); }
  },
  moment: (text) => (text ? new Date(text).toISOString() : undefined),
  pairs: (text) => Object.fromEntries(text.split("\n").filter((line) => line.trim()).map((line) => {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(LINES);
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  })),
};

/** @param {string} text */
function words(text) { return text.split(/[\s,]+/).filter(Boolean); }

/** @param {any} body @param {string} name */
const get = (body, name) => name.split(".").reduce((part, step) => part?.[step], body);

/** Put `value` at a dotted name; undefined takes it away. @param {any} body @param {string} name @param {unknown} value */
function put(body, name, value) {
  const steps = name.split(".");
  const last = /** @type {string} */ (steps.pop());
  for (const step of steps) body = body[step] ??= {};
  value === undefined ? delete body[last] : (body[last] = value);
}

/** Fields that are shown and can be filled. @param {ParentNode} root @returns {Field[]} */
const fields = (root) => /** @type {any} */ ($$("input[name], select[name], textarea[name]", root).filter((field) => !field.matches(":disabled")));
/** @param {Field} field */
const plainName = (field) => field.name.split(":")[0];
/** @param {ParentNode} root @param {string} name @returns {Field | undefined} */
const called = (root, name) => /** @type {Field[]} */ (/** @type {any} */ ($$("[name]", root))).find((field) => plainName(field) === name);

/** Items of a list that say something: those with one of the fields of `data-blank` filled, when it names any. @param {HTMLElement} list */
function items(list) {
  const blank = words(list.dataset.blank ?? "");
  return $$(":scope > [data-item]", list).filter((item) => !blank.length || blank.some((name) => called(item, name)?.value.trim()));
}

/** Where a field's value goes; empty for a field of an item that is left out. The first item of a list with `data-head` goes there. @param {Field} field */
function placeOf(field) {
  const item = /** @type {HTMLElement | null} */ (field.closest("[data-item]"));
  if (!item) return plainName(field);
  const list = /** @type {HTMLElement} */ (item.closest("[data-list]"));
  const { head } = list.dataset;
  const index = items(list).indexOf(item) - (head ? 1 : 0);
  if (index < (head ? -1 : 0)) return "";
  return `${index < 0 ? head : `${list.dataset.list}.${index}`}.${plainName(field)}`;
}

/** @param {HTMLElement} list @param {any} body */
function startList(list, body) {
  const made = items(list).map((item) => JSON.parse(item.dataset.base ?? "{}"));
  if (list.dataset.head) body[list.dataset.head] = made.shift() ?? null;
  put(body, list.dataset.list ?? "", made);
}

/** @param {any} body @param {Field} field @param {string} place */
function take(body, field, place) {
  const kind = field.name.split(":")[1] ?? "";
  const text = field.value.trim();
  if (kind === "flag") put(body, place, field.checked);
  else if (kind === "each") { if (field.checked) get(body, place).push(text); }
  else if (kind.startsWith("part")) { // a part that may be missing: null when the field is empty
    const own = kind.split(".")[1];
    put(body, place, text ? { ...get(body, place), ...(own ? { [own]: text } : {}) } : null);
  } else if (kind) put(body, place, READ[kind](text));
  else if (text || place.includes(".")) put(body, place, text);
}

/** What a form says, or the field that cannot be read. @param {HTMLFormElement} form */
function collect(form) {
  let [method, path] = (form.dataset.api ?? "").split(" ");
  const body = JSON.parse(form.dataset.base ?? "{}");
  for (const list of $$("[data-list]", form)) if (!list.closest("fieldset:disabled")) startList(list, body);
  const shown = fields(form);
  for (const field of shown) if (field.name.endsWith(":each") && placeOf(field)) put(body, placeOf(field), []);
  for (const field of shown) {
    const place = placeOf(field);
    if (field.name.endsWith(":path")) path = path.replace(`{${place}}`, encodeURIComponent(field.value.trim()));
    else if (place) {
      try { take(body, field, place); } catch (error) { return { said: /** @type {Error} */ (error).message, param: place }; }
    }
  }
  return { method, path, body };
}

/** The field that an error is about: at the place it names, or near it; else one whose value or label it quotes. @param {HTMLFormElement} form @param {string} said @param {string} param */
function fieldOf(form, said, param) {
  const all = fields(form).filter((field) => field.type !== "hidden").map((field) => ({ field, place: placeOf(field) }));
  const label = (/** @type {Field} */ field) => field.labels?.[0]?.firstChild?.textContent?.trim().toLowerCase() ?? "";
  const quoted = (/** @type {{ field: Field }} */ { field }) => field.value.trim() && said.includes(`'${field.value.trim()}'`);
  const above = all.filter(({ place }) => place && param.startsWith(`${place}.`)).sort((a, b) => b.place.length - a.place.length);
  const below = all.filter(({ place }) => param && place.startsWith(`${param}.`));
  const found = all.find(({ place }) => param && place === param) ?? above[0] ?? below.find(quoted) ?? below[0] ?? all.find(quoted)
    ?? all.find(({ field }) => label(field).length > 3 && said.toLowerCase().includes(label(field)));
  return found?.field;
}

/** Say what is wrong beside the field it is about, else at the end of the form. @param {HTMLFormElement} form @param {string} said @param {string} param @param {Field} [at] */
function complain(form, said, param = "", at = undefined) {
  for (const old of $$(".said.at", form)) old.remove();
  for (const old of $$("[aria-invalid]", form)) { old.removeAttribute("aria-invalid"); old.removeAttribute("aria-describedby"); }
  const whole = $(".said", form);
  if (whole) whole.textContent = "";
  if (!said) return;
  const field = at ?? fieldOf(form, said, param);
  if (!field) { if (whole) whole.textContent = said; return; }
  const note = document.createElement("span");
  Object.assign(note, { className: "said at", id: "said-at", textContent: said });
  note.setAttribute("role", "alert");
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", "said-at");
  for (let part = field.closest("details"); part; part = part.parentElement?.closest("details") ?? null) part.setAttribute("open", "");
  field.after(note);
  field.focus();
}

/** @param {HTMLFormElement} form */
export async function submit(form) {
  complain(form, "");
  const wrong = fields(form).find((field) => placeOf(field) && !field.validity.valid);
  if (wrong) return complain(form, wrong.validationMessage, "", wrong); // said here, since a folded part cannot show the browser's own
  const { method, path, body, said, param } = collect(form);
  if (said !== undefined) return complain(form, said, param);
  const result = await send(path ?? "", body, method);
  if (!result.ok) return complain(form, result.said, result.param);
  if (form.dataset.shows) return showOnce(form, String(result.body?.[form.dataset.shows] ?? ""));
  if (form.dataset.then !== undefined) form.dataset.then ? (location.href = form.dataset.then) : location.reload();
  else { form.closest("dialog")?.close(); say(form.dataset.done ?? "Done."); }
}

/** A secret that nobody can see again: the page is new once the dialog is closed. @param {HTMLFormElement} form @param {string} secret */
function showOnce(form, secret) {
  const body = /** @type {HTMLElement} */ ($(".body", form));
  body.innerHTML = '<p><b>Copy it now: it is shown this once.</b></p><div class="cmd"><code></code><button type="button" aria-label="Copy the secret">Copy</button></div><div class="ends"><button type="button" class="btn pri" data-close>Done</button></div>';
  /** @type {HTMLElement} */ ($("code", body)).textContent = secret;
  /** @type {HTMLElement} */ ($(".cmd button", body)).dataset.copy = secret;
  form.closest("dialog")?.addEventListener("close", () => location.reload());
  $(".cmd button", body)?.focus();
}

/** Show what the form's answers call for. @param {HTMLFormElement} form */
function show(form) {
  for (const part of $$("[data-when]", form)) {
    const [name, values] = (part.dataset.when ?? "").split("=");
    const item = part.parentElement?.closest("[data-item]");
    const field = (item && called(item, name)) ?? called(form, name);
    const isShown = values ? values.split(",").includes(field?.value ?? "") : Boolean(field?.value.trim());
    part.hidden = !isShown;
    if (part instanceof HTMLFieldSetElement) part.disabled = !isShown;
  }
}

/** Adding, moving and taking away the items of lists. @param {HTMLElement} button */
function change(button) {
  const list = /** @type {HTMLElement} */ (button.closest("[data-list]"));
  const item = /** @type {HTMLElement | null} */ (button.closest("[data-item]"));
  if (button.dataset.add !== undefined) {
    const template = /** @type {HTMLTemplateElement} */ ($(":scope > template", list));
    const made = /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
    template.before(made);
    fields(made)[0]?.focus();
  } else if (button.dataset.drop !== undefined) {
    item?.remove();
    $("[data-add]", list)?.focus();
  } else if (item?.previousElementSibling?.matches("[data-item]")) {
    item.previousElementSibling.before(item);
    button.focus();
  }
}

/** Make a form ready before it is shown. @param {HTMLFormElement} form */
export function begin(form) {
  show(form);
  form.addEventListener("input", (event) => {
    $("summary .mut", /** @type {HTMLElement} */ (event.target).closest("details") ?? document.createElement("i"))?.remove(); // it told what was
    show(form);
  });
  form.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest("[data-add], [data-drop], [data-up]"));
    if (button) { change(button); show(form); }
  });
}
