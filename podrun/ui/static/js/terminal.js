// A terminal in a container: Kubernetes' exec over a WebSocket (v5.channel.k8s.io), shown by xterm.js.

import { apiPath, containersOf } from "./pod.js";
import { h, keyed, mark, say, visible } from "./dom.js";
import { colour, font, onTheme } from "./theme.js";
import { fence } from "./fenced.js";
import { openSocket, request } from "./session.js";
import { FitAddon } from "../xterm/addon-fit.mjs";
import { Terminal } from "../xterm/xterm.mjs";

const [STDIN, STDOUT, STDERR, ERROR, RESIZE] = [0, 1, 2, 3, 4];
const SHELL = ["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh"];
const DEBUG_IMAGE = "busybox:1.36";

export function showTerminal(panel, context) {
  return new Shell(panel, context);
}

class Shell {
  #socket = null;
  #chosen = "";
  #wanted = ""; // a debug container that is to be opened when it runs
  #ended = false;
  #pod = null;
  #input = new TextEncoder();

  constructor(panel, { namespace, name }) {
    this.path = apiPath(namespace, name);
    this.choices = h("div", { class: "choices", role: "group", "aria-label": "Containers" });
    this.status = h("span", { class: "quiet", role: "status" });
    this.again = h("button", { type: "button", hidden: true, on: { click: () => this.#open(this.#chosen) } }, "Open again");
    this.debug = h("button", { type: "button", hidden: true, on: { click: () => this.#debug() } }, "Open a debug container");
    this.screen = h("div", { class: "screen" });
    panel.append(h("div", { class: "bar-of-tools" }, this.choices, h("span", { class: "stretch" }), this.status, this.debug, this.again), this.screen, h("p", { class: "quiet" }, "Ctrl ] leaves the terminal, so that the keys are the page's again."));
    this.unfence = fence();
    this.terminal = new Terminal({ fontFamily: font(), fontSize: 13, lineHeight: 1.25, cursorBlink: false, scrollback: 5000, theme: palette(), screenReaderMode: true });
    this.fit = new FitAddon();
    this.terminal.loadAddon(this.fit);
    this.terminal.open(this.screen);
    this.terminal.attachCustomKeyEventHandler((event) => this.#key(event));
    this.terminal.onData((data) => this.#send(STDIN, this.#input.encode(data)));
    this.terminal.onBinary((data) => this.#send(STDIN, Uint8Array.from(data, (letter) => letter.charCodeAt(0))));
    this.terminal.onResize(() => this.#resize());
    this.unthemed = onTheme(() => {
      this.terminal.options.theme = palette();
    });
    this.resized = new ResizeObserver(() => this.fit.fit());
    this.resized.observe(this.screen);
  }

  pod(pod) {
    this.#pod = pod;
    const running = containersOf(pod).filter((one) => one.status.state?.running);
    keyed(this.choices, running, (one) => one.name, (one) => this.#choice(one));
    if (!this.#chosen && running.length) {
      const own = pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"];
      this.#open((running.find((one) => one.name === own) ?? running.find((one) => one.kind === "container") ?? running[0]).name);
    }
    if (!running.length) say(this.status, "no container runs");
    const wanted = this.#wanted;
    if (running.some((one) => one.name === wanted)) {
      this.#wanted = "";
      this.#open(wanted);
    }
  }

  #choice(one) {
    return h("button", { type: "button", class: `tint-${one.tint}`, "data-container": one.name, "aria-pressed": "false", on: { click: () => this.#open(one.name) } }, h("i", { class: "dot" }), visible(one.name));
  }

  #open(container) {
    this.#close();
    this.#chosen = container;
    this.debug.hidden = this.again.hidden = true;
    for (const button of this.choices.children) mark(button, "aria-pressed", String(button.dataset.container === container));
    this.terminal.reset();
    const one = containersOf(this.#pod).find((each) => each.name === container);
    const attach = one?.kind === "debug";
    const query = new URLSearchParams({ container, stdin: "true", stdout: "true", tty: "true" });
    if (!attach) for (const word of SHELL) query.append("command", word);
    say(this.status, `${visible(container)}…`);
    const socket = (this.#socket = openSocket(`${this.path}/${attach ? "attach" : "exec"}?${query}`, "v5.channel.k8s.io"));
    socket.onopen = () => {
      say(this.status, `connected to ${visible(container)}`);
      this.fit.fit();
      this.#resize();
      if (attach) this.#send(STDIN, this.#input.encode("\n"));
      this.terminal.focus();
    };
    socket.onmessage = (event) => this.#heard(new Uint8Array(event.data), container);
    socket.onclose = () => this.#socket === socket && this.#over("the connection has ended");
  }

  #heard(message, container) {
    const [channel] = message;
    const data = message.subarray(1);
    if (channel === STDOUT || channel === STDERR) this.terminal.write(data);
    if (channel !== ERROR) return;
    const status = JSON.parse(new TextDecoder().decode(data));
    const code = status.details?.causes?.find((cause) => cause.reason === "ExitCode")?.message;
    const noShell = status.status !== "Success" && code === undefined;
    this.debug.hidden = !noShell;
    this.#socket = null;
    this.#over(status.status === "Success" ? "the shell has ended" : code !== undefined ? `the shell has ended with exit code ${visible(code)}` : `${visible(container)} has no shell`);
    if (noShell) this.terminal.write(`\r\n${visible(status.message ?? "")}\r\n`);
  }

  #over(text) {
    if (this.#ended) return;
    say(this.status, text);
    this.again.hidden = false;
  }

  /** An image without a shell: a container beside it that has one, as `kubectl debug --target` makes it. */
  async #debug() {
    const name = `debug-${Math.random().toString(36).slice(2, 7)}`;
    const container = { name, image: DEBUG_IMAGE, command: ["sh"], stdin: true, tty: true, targetContainerName: this.#chosen };
    try {
      await request(`${this.path}/ephemeralcontainers`, { method: "PATCH", type: "application/strategic-merge-patch+json", body: { spec: { ephemeralContainers: [container] } } });
      say(this.status, "a debug container is being started");
      this.debug.hidden = true;
      this.#wanted = name;
    } catch (error) {
      say(this.status, visible(error.message));
    }
  }

  #key(event) {
    if (!event.ctrlKey || event.key !== "]") return true;
    if (event.type === "keydown") {
      this.terminal.blur();
      document.querySelector('[role="tab"][aria-selected="true"]').focus();
    }
    event.preventDefault();
    return false;
  }

  #resize() {
    const size = { Width: this.terminal.cols, Height: this.terminal.rows };
    this.#send(RESIZE, this.#input.encode(JSON.stringify(size)));
  }

  #send(channel, data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const message = new Uint8Array(data.length + 1);
    message[0] = channel;
    message.set(data, 1);
    this.#socket.send(message);
  }

  #close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  end() {
    this.#ended = true;
    this.#close();
    this.resized.disconnect();
    this.unthemed();
    this.terminal.dispose();
    this.unfence();
  }
}

/** The terminal in the colours of the page. */
function palette() {
  const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
  const theme = { background: hex("--screen"), foreground: hex("--ink"), cursor: hex("--accent"), cursorAccent: hex("--screen"), selectionBackground: hex("--selection") };
  for (const [at, name] of names.entries()) {
    theme[name] = hex(`--ansi-${at}`);
    theme[`bright${name[0].toUpperCase()}${name.slice(1)}`] = hex(`--ansi-${at}`);
  }
  return theme;
}

/** A colour of the style sheets as #rrggbb, the form that xterm.js reads: painted, and read back. */
function hex(name) {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  canvas.fillStyle = colour(name);
  canvas.fillRect(0, 0, 1, 1);
  return `#${[...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
