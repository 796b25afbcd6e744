// Asks the service: adds the token, turns problems into one sentence, asks for a token when one is wanted.

const TOKEN = "sightlog-token";

let wanted = null; // a promise while the person is being asked for a token
let askForToken = async () => null;
let renewing = 0;
const PATIENCE_MS = 2000;
const RENEW_MS = 4 * 3600 * 1000; // a cookie counts for twelve hours

/** A sentence from the service, or about it. `status` is 0 when it could not be reached. */
export class Problem extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Says who asks the person for a token: an async function of whether the last one was refused. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

export function token() {
  try { return sessionStorage.getItem(TOKEN); } catch { return null; }
}

function keep(given) {
  try { sessionStorage.setItem(TOKEN, given); } catch { /* asked again next time */ }
}

/** Returns the JSON answer to a question; parameters that are null are left out, lists are repeated. */
export async function get(path, parameters = {}, options = {}) {
  return answer(await send(address(path, parameters), options));
}

export async function post(path, body, options = {}) {
  return answer(await send(path, {
    ...options,
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }));
}

/** Returns the address of a question. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(key, one);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** Reads a response that was asked for elsewhere (early.js); asks again where it wants a token or more time. */
export async function answerOf(response, path, parameters, onBusy) {
  const early = await response;
  if (early?.ok) return early.json();
  if (early?.status === 503) onBusy();
  return patiently(() => get(path, parameters), onBusy);
}

/** Asks again for as long as the service is busy or away; `onBusy` is told. */
async function patiently(ask, onBusy) {
  for (;;) {
    try {
      return await ask();
    } catch (problem) {
      if (problem.status !== 503 && problem.status !== 0) throw problem;
      onBusy(problem);
      await new Promise((done) => setTimeout(done, PATIENCE_MS));
    }
  }
}

async function send(url, options, refused = false) {
  const headers = { ...options.headers };
  const held = token();
  if (held) headers.Authorization = `Bearer ${held}`;
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("", 0);
  }
  if (response.status !== 401) return response;
  if (token() !== held) return send(url, options, refused); // another question has got one meanwhile
  wanted ??= askForToken(refused || held !== null).finally(() => { wanted = null; });
  const given = await wanted;
  if (!given) throw new Problem("", 401);
  keep(given);
  await begin();
  return send(url, options, true);
}

/** Gets the cookie that pictures, videos and the live tail need, which a browser fetches without the token. */
export async function begin() {
  const held = token();
  if (!held) return;
  const renew = () => fetch("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${held}` } });
  await renew().catch(() => null); // without it there are no pictures; what asks for data says why
  clearInterval(renewing);
  renewing = setInterval(() => renew().catch(() => null), RENEW_MS);
}

async function answer(response) {
  if (response.ok) return response.json();
  let detail = "";
  try {
    const problem = await response.json();
    detail = typeof problem.detail === "string" ? problem.detail : problem.title ?? "";
  } catch { /* no JSON: the status alone */ }
  throw new Problem(detail, response.status);
}
