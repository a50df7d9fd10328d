// The page of a model: asks for predictions, shows where they were refused, and follows what is live.
// What is said of a version is rendered by the server, also after a swap: the new page takes the place of the old one.

const LOOK_EVERY = 2000; // milliseconds
const MOST_BARS = 12;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/; // as JSON writes it: sent as it stands, with all of its digits

const at = (id) => document.getElementById(id);
const number = (digits) => new Intl.NumberFormat("en", { maximumSignificantDigits: digits });
const rounded = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

// --- Who asks ---------------------------------------------------------------------------------------------------------

const token = () => sessionStorage.getItem("token"); // until the tab is closed

/** The headers of a request, with the token if one was given. */
const headers = (more = {}) => (token() === null ? more : { ...more, authorization: `Bearer ${token()}` });

/** Ask for a token: the first time, or again when the one before is not taken any more. */
async function signIn() {
  const refused = token() !== null;
  if (refused) sessionStorage.removeItem("token");
  if (at("sign-in") === null) location.reload();
  else if (refused) at("sign-in-error").textContent = "The server does not know this token.";
}

// --- What is asked ---------------------------------------------------------------------------------------------------

const controls = () => [...document.querySelectorAll("[data-kind]")];

/** The JSON text of a control; undefined leaves the field out, so that the server says that it is missing. */
function json(control) {
  const { kind } = control.dataset;
  const text = control.value;
  if (kind === "choice") return text;
  if (text === "" && "missing" in control.dataset) return "null";
  if (kind === "text") return JSON.stringify(text);
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  if (NUMBER.test(trimmed)) return trimmed;
  if (kind === "any") {
    if (["true", "false", "null"].includes(trimmed) || /^".*"$/s.test(trimmed)) {
      try {
        return JSON.stringify(JSON.parse(trimmed));
      } catch {
        return JSON.stringify(text);
      }
    }
    return JSON.stringify(text);
  }
  const value = Number(trimmed); // .5, +1, 007
  return Number.isFinite(value) && /^[+-]?[\d.]/.test(trimmed) && !/[xob]/i.test(trimmed)
    ? String(value)
    : JSON.stringify(text); // the server says what is wrong with it
}

function row() {
  const fields = [];
  for (const control of controls()) {
    const value = json(control);
    if (value !== undefined) fields.push(`${JSON.stringify(control.dataset.name)}: ${value}`);
  }
  return `{${fields.join(", ")}}`;
}

const address = () => new URL("predict", document.baseURI).href;

function showCommand() {
  const who = token() === null ? "" : '-H "Authorization: Bearer $TOKEN" ';
  at("curl").textContent = `curl -s ${who}${address()} --json '${row().replaceAll("'", "'\\''")}'`;
}

// --- What is answered ------------------------------------------------------------------------------------------------

const label = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** One row a class, in the order of the classes; of many the most probable ones. */
function bars(classes, shares, predicted) {
  const rows = classes.map((one, index) => ({ name: label(one), share: shares?.[index] ?? null }));
  const shown = rows.length <= MOST_BARS ? rows : [...rows].sort((a, b) => (b.share ?? 0) - (a.share ?? 0)).slice(0, MOST_BARS);
  const list = element("ul", "bars");
  for (const { name, share } of shown) {
    const fill = element("span", "fill");
    fill.style.width = `${100 * (share ?? 0)}%`;
    const bar = element("span", "bar", fill);
    bar.setAttribute("aria-hidden", "true");
    const value = element("span", "value", share === null ? "" : percent.format(share));
    list.append(element("li", name === predicted ? "chosen" : "", element("span", "label", name), bar, value));
  }
  const rest = rows.length - shown.length;
  if (rest > 0) list.append(element("li", "rest", `and ${rest} more`));
  return list;
}

/** The bars of an answer; a model with several outputs has classes and probabilities for each. */
function allBars(prediction, probability) {
  const classes = JSON.parse(at("page").dataset.classes);
  if (!Array.isArray(classes) || (prediction !== undefined && probability === null)) return [];
  if (!classes.some(Array.isArray)) return [bars(classes, probability, prediction === undefined ? "" : label(prediction))];
  return classes.map((of, index) => bars(of, probability?.[index], prediction === undefined ? "" : label(prediction[index])));
}

function showAnswer(answer, milliseconds) {
  const { prediction, probability, score } = answer;
  const shown = Array.isArray(prediction) ? prediction.map(label).join(", ") : prediction === null ? "null" : label(prediction);
  at("prediction").textContent = shown;
  at("prediction").className = "prediction";
  at("bars").replaceChildren(...allBars(prediction, probability));
  const took = `in ${number(milliseconds < 10 ? 2 : 3).format(milliseconds)} ms, there and back`;
  const scored = score === undefined || score === null ? "" : ` Score ${JSON.stringify(score)}.`;
  at("by").replaceChildren("Version ", element("b", "", answer.model_version), ` answered ${took}.${scored}`);
}

function clearErrors() {
  at("problem").textContent = "";
  for (const control of controls()) {
    control.removeAttribute("aria-invalid");
    at(`${control.id}-error`).textContent = "";
  }
}

/** A problem body: each message at the field that it names, the others below the answer. */
function showProblem(problem) {
  const errors = problem.errors ?? [problem];
  const byName = new Map(controls().map((control) => [control.dataset.name, control]));
  const others = [];
  let first;
  for (const error of errors) {
    const control = byName.get(error.field);
    if (control === undefined) {
      others.push(error.message);
    } else {
      control.setAttribute("aria-invalid", "true");
      at(`${control.id}-error`).textContent = error.message;
      first ??= control;
    }
  }
  at("prediction").textContent = "–";
  at("prediction").className = "prediction none";
  at("bars").replaceChildren(...allBars());
  at("by").textContent = first === undefined ? "" : "Refused: see the marked fields.";
  at("problem").textContent = others.join(" ");
  first?.focus();
}

async function predict() {
  clearErrors();
  at("predict").disabled = true;
  const began = performance.now();
  try {
    const answer = await fetch(address(), {
      method: "POST",
      headers: headers({ "content-type": "application/json" }),
      body: row(),
    });
    const body = await answer.json();
    if (answer.ok) showAnswer(body, performance.now() - began);
    else showProblem(body);
  } catch {
    showProblem({ message: "The server could not be reached." });
  } finally {
    at("predict").disabled = false;
  }
}

async function copy() {
  await navigator.clipboard.writeText(at("curl").textContent);
  at("copy").textContent = "Copied";
  setTimeout(() => (at("copy").textContent = "Copy"), 1500);
}

// --- What is live ----------------------------------------------------------------------------------------------------

function latency(seconds, finest) {
  if (seconds === null) return "–";
  if (seconds <= finest) return `< ${number(2).format(finest * 1000)} ms`;
  return seconds < 1 ? `${number(2).format(seconds * 1000)} ms` : `${number(2).format(seconds)} s`;
}

function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function showNumbers(live) {
  at("rate").textContent = number(3).format(live.requests_per_second);
  at("p50").textContent = latency(live.p50_seconds, live.finest_seconds);
  at("p99").textContent = latency(live.p99_seconds, live.finest_seconds);
  const segments = live.versions.map(({ share, role }) => {
    const segment = element("span", role);
    segment.style.flexGrow = share;
    return segment;
  });
  at("share-bar").replaceChildren(...segments);
  const named = live.versions.map(({ version, role, share }) =>
    element("li", role, element("b", "", version), role === "live" ? "" : ` ${role}`, ` ${rounded.format(share)}`),
  );
  at("shares").replaceChildren(...(named.length ? named : [element("li", "", "no requests")]));
  at("since").textContent = `over the last ${span(live.seconds)}`;
  at("live").hidden = false;
}

/** Take the page of another version over, and keep what was typed into fields that it has, too. */
async function renew() {
  const answer = await fetch("./", { cache: "no-store", headers: headers() });
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  const page = next.getElementById("page");
  const digest = page?.dataset.digest;
  if (!digest || digest === at("page").dataset.digest) return;
  const before = at("version")?.textContent;
  const changed = new Map(controls().filter(isChanged).map((control) => [control.dataset.name, control.value]));
  const focused = document.activeElement?.dataset?.name;
  at("page").replaceWith(document.adoptNode(page));
  document.title = next.title;
  for (const control of controls()) {
    const typed = changed.get(control.dataset.name);
    const fits = typed !== undefined && (control.options === undefined || [...control.options].some((one) => one.value === typed));
    if (fits) control.value = typed;
    if (control.dataset.name === focused) control.focus();
  }
  begin();
  if (before !== undefined) at("news").textContent = `live now; it was ${before} when you opened this`;
}

function isChanged(control) {
  if (control.options === undefined) return control.value !== control.defaultValue;
  return [...control.options].some((option) => option.selected !== option.defaultSelected);
}

async function look() {
  try {
    if (at("sign-in") && token() === null) return;
    const answer = await fetch("page/live", { cache: "no-store", headers: headers() });
    if (answer.status === 401) return await signIn();
    const live = await answer.json();
    if (at("sign-in") && !live.digest) at("sign-in-error").textContent = "No model is live yet. This page looks again by itself.";
    if (live.digest && live.digest !== at("page").dataset.digest) await renew();
    if (at("live") && live.digest) showNumbers(live);
    document.body.classList.remove("lost");
  } catch {
    document.body.classList.add("lost"); // it may be on its way out; another is asked next time
  }
}

async function follow() {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
  }
}

function begin() {
  at("sign-in")?.addEventListener("submit", (event) => {
    event.preventDefault();
    at("sign-in-error").textContent = "";
    sessionStorage.setItem("token", at("token").value.trim());
    look();
  });
  if (token() !== null) document.querySelector("nav")?.remove(); // a link shows no token
  const form = at("form");
  if (form === null) return; // nothing is live yet
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    predict();
  });
  form.addEventListener("input", showCommand);
  form.addEventListener("reset", () => setTimeout(() => (clearErrors(), showCommand())));
  at("copy").addEventListener("click", copy);
  at("copy").hidden = navigator.clipboard === undefined; // which a browser has for https and localhost alone
  at("bars").replaceChildren(...allBars());
  showCommand();
}

begin();
follow();
