// What stays connected: a line that is made again whenever it breaks, and a list of objects that is always the newest.

import { ask, openSocket, Refused } from "./session.js";

const PAUSES = [100, 250, 500, 1000, 2000, 3000];
const broken = new Set();
const listeners = new Set();

/** Hear whether all lines stand: act(true or false), now and at each change. */
export function onConnection(act) {
  listeners.add(act);
  act(broken.size === 0);
}

function note(line, isBroken) {
  const before = broken.size;
  if (isBroken) broken.add(line);
  else broken.delete(line);
  if ((before === 0) !== (broken.size === 0)) for (const act of listeners) act(broken.size === 0);
}

/** A WebSocket that comes back. `path()` is asked (and awaited) at each beginning. */
export class Line {
  #socket = null;
  #timer = 0;
  #ended = false;
  #tries = 0;

  /** `message(data)` hears; `over()` says, when the server has closed in peace, whether that was the end. */
  constructor(path, protocol, { message, over = () => false }) {
    this.path = path;
    this.protocol = protocol;
    this.handlers = { message, over };
    this.#begin();
  }

  async #begin() {
    try {
      const path = await this.path();
      if (this.#ended || path === null) return;
      const socket = (this.#socket = openSocket(path, this.protocol));
      socket.onopen = () => {
        this.#tries = 0;
        note(this, false);
      };
      socket.onmessage = (event) => this.handlers.message(event.data);
      socket.onclose = (event) => this.#closed(event);
    } catch (error) {
      this.#again(error);
    }
  }

  #closed(event) {
    if (this.#ended) return;
    if (event.code === 1000 && this.handlers.over()) {
      this.end();
      return;
    }
    if (event.code !== 1000) note(this, true);
    this.#again();
  }

  #again(error = null) {
    if (this.#ended) return;
    if (error instanceof Refused) {
      if (error.code === 401) {
        this.end();
        return;
      }
    } else if (error) {
      note(this, true);
    }
    this.#timer = setTimeout(() => this.#begin(), PAUSES[Math.min(this.#tries++, PAUSES.length - 1)]);
  }

  /** Send something, if there is anybody to hear it. */
  send(data) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  end() {
    this.#ended = true;
    clearTimeout(this.#timer);
    note(this, false);
    this.#socket?.close();
  }
}

/** The objects of a list by uid, kept up to date: `changed(map)` after each change, at most once a frame. */
export class Watched {
  #line;
  #scheduled = false;
  objects = new Map();

  constructor(path, query, changed) {
    const of = (more) => `${path}?${new URLSearchParams({ ...query, ...more })}`;
    this.changed = changed;
    const begin = async () => {
      const list = await ask(of({}));
      this.objects = new Map(list.items.map((one) => [one.metadata.uid, { apiVersion: list.apiVersion, ...one }]));
      this.#tell();
      return of({ watch: "1", resourceVersion: list.metadata.resourceVersion });
    };
    this.#line = new Line(begin, "podrun.watch", { message: (data) => this.#heard(JSON.parse(data)) });
  }

  #heard({ type, object }) {
    if (type === "ERROR") return; // the server closes now; the list is asked for anew
    if (type === "DELETED") this.objects.delete(object.metadata.uid);
    else if (type !== "BOOKMARK") this.objects.set(object.metadata.uid, object);
    this.#tell();
  }

  #tell() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setTimeout(() => {
      this.#scheduled = false;
      this.changed(this.objects);
    }, 16);
  }

  end() {
    this.changed = () => {};
    this.#line.end();
  }
}
