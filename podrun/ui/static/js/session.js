// Who we are: the link's token is exchanged for a session's, which every request carries in a header and every
// WebSocket as a subprotocol. Cookies are not used, so no other page can speak in our name.

import { encode } from "./base64url.js";

const STORED = "podrun.session";
const ASK_MILLISECONDS = 400;
const tabs = new BroadcastChannel("podrun.session");

let session = null;
let timer = 0;
let over = () => {};

/** An answer that is a refusal: `code`, `message` and `reason` of the Status. */
export class Refused extends Error {
  constructor(code, status) {
    super(status.message || `the server answered ${code}`);
    this.code = code;
    this.reason = status.reason || "";
  }
}

/** Let ourselves in; whether that went well. `ended` is called when the session is over later on. */
export async function enter(ended) {
  over = ended;
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    history.replaceState(null, "", location.pathname); // out of the address, the history and the screen
    await follow(given);
  }
  session ??= usable(JSON.parse(sessionStorage.getItem(STORED) || "null")) ?? (await askOtherTabs());
  if (session) keep(session);
  return session !== null;
}

async function follow(link) {
  const answer = await fetch("/podrun/v1/ui/sessions", { method: "POST", headers: { Authorization: `Bearer ${link}` } });
  if (answer.ok) session = await answer.json();
}

const usable = (found) => (found && found.expires * 1000 > Date.now() ? found : null);

/** Another tab of this page lets us in: a pod opened beside the list needs no link of its own. */
function askOtherTabs() {
  return new Promise((resolve) => {
    const heard = (event) => usable(event.data?.session) && done(event.data.session);
    const done = (found) => {
      tabs.removeEventListener("message", heard);
      resolve(found);
    };
    tabs.addEventListener("message", heard);
    tabs.postMessage({ ask: true });
    setTimeout(() => done(null), ASK_MILLISECONDS);
  });
}

tabs.addEventListener("message", (event) => {
  if (event.data?.ask && session) tabs.postMessage({ session });
});

function keep(found) {
  session = found;
  sessionStorage.setItem(STORED, JSON.stringify(found));
  clearTimeout(timer);
  timer = setTimeout(renew, Math.max((found.expires * 1000 - Date.now()) / 3, 1000));
}

async function renew() {
  try {
    keep(await (await request("/podrun/v1/ui/renewal", { method: "POST" })).json());
  } catch (error) {
    if (!(error instanceof Refused)) timer = setTimeout(renew, 5000); // podrund restarts; it remembers us
  }
}

/** Whether the session is over: says so once, and forgets it. */
function end() {
  session = null;
  sessionStorage.removeItem(STORED);
  clearTimeout(timer);
  over();
}

/** Ask the server. Raises Refused for an answer that is none, TypeError where nobody answers. */
export async function request(path, { method = "GET", body, type = "application/json", accept = "application/json", signal } = {}) {
  const headers = { Authorization: `Bearer ${session?.token}`, Accept: accept };
  if (body !== undefined) headers["Content-Type"] = type;
  const sent = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(path, { method, headers, body: sent, signal, cache: "no-store" });
  if (answer.ok) return answer;
  const text = await answer.text();
  let status = { message: text.trim() };
  try {
    status = JSON.parse(text);
  } catch {
    // not every refusal is a Status
  }
  if (answer.status === 401) end();
  throw new Refused(answer.status, status);
}

/** The JSON of an answer. */
export const ask = async (path, options) => (await request(path, options)).json();

/** A WebSocket with our token. */
export function openSocket(path, protocol) {
  const bearer = `base64url.bearer.authorization.k8s.io.${encode(session?.token ?? "")}`;
  const socket = new WebSocket(`wss://${location.host}${path}`, [protocol, bearer]);
  socket.binaryType = "arraybuffer";
  return socket;
}
