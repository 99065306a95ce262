/*
 * Janus' public API over plain HTTP: one session, its handles, and what arrives for them by long poll.
 *
 * Every request is a "simple" one in the sense of CORS (text/plain), so Janus is asked once, not twice. What goes wrong
 * becomes a JanusError of one of four kinds: "away" (nothing answers), "silent" (no answer in time), "lost" (Janus has
 * forgotten this session: it restarted, or we were gone too long), "refused" (the plugin said no; `code` says what).
 */

const ANSWER_MS_MAX = 10_000;
const POLL_MS_MAX = 45_000; // Janus answers a long poll after 30 s at the latest
const POLL_FAILURES_MAX = 5;
const POLL_PAUSE_MS = 1_000;
const NO_SUCH_SESSION = 458;
const NO_SUCH_HANDLE = 459;

export class JanusError extends Error {
  constructor(kind, message, code = 0) {
    super(message);
    this.kind = kind;
    this.code = code;
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Session {
  #url;
  #secret;
  #path = "";
  #handles = new Map();
  #closed = false;
  #onLost;
  #transactions = 0;

  /** `onLost` is called once, when Janus no longer knows this session or cannot be reached any more. */
  constructor(url, secret, onLost) {
    this.#url = url.replace(/\/+$/, "");
    this.#secret = secret;
    this.#onLost = onLost;
  }

  async open() {
    const answer = await this.post("", { janus: "create" });
    this.#path = `/${answer.data.id}`;
    this.#poll();
  }

  /** A handle on the VideoRoom plugin; `onEvent` hears what was not asked for. */
  async attach(onEvent) {
    const answer = await this.post(this.#path, { janus: "attach", plugin: "janus.plugin.videoroom" });
    const handle = new Handle(this, `${this.#path}/${answer.data.id}`, onEvent);
    this.#handles.set(answer.data.id, handle);
    return handle;
  }

  /** Leave; also while the page is being closed, when nobody waits for an answer any more. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#path) navigator.sendBeacon(this.#url + this.#path, this.#wrapped({ janus: "destroy" }));
  }

  async post(path, message) {
    const answer = await this.#fetch(path, { method: "POST", body: this.#wrapped(message) }, ANSWER_MS_MAX);
    if (answer.janus !== "error") return answer;
    const { code, reason } = answer.error;
    const lost = code === NO_SUCH_SESSION || code === NO_SUCH_HANDLE;
    throw new JanusError(lost ? "lost" : "refused", reason, code);
  }

  nextTransaction() {
    this.#transactions += 1;
    return String(this.#transactions);
  }

  #wrapped(message) {
    const common = { transaction: this.nextTransaction(), ...(this.#secret && { apisecret: this.#secret }) };
    return JSON.stringify({ ...common, ...message });
  }

  async #fetch(path, options, patience) {
    let answer;
    try {
      answer = await fetch(this.#url + path, { ...options, signal: AbortSignal.timeout(patience) });
      return await answer.json();
    } catch (error) {
      if (error.name === "TimeoutError") throw new JanusError("silent", "no answer in time");
      throw new JanusError("away", String(error));
    }
  }

  async #poll() {
    const query = new URLSearchParams({ maxev: "10", ...(this.#secret && { apisecret: this.#secret }) });
    let failures = 0;
    while (!this.#closed) {
      try {
        const said = await this.#fetch(`${this.#path}?${query}`, { method: "GET" }, POLL_MS_MAX);
        failures = 0;
        for (const event of [said].flat()) this.#deliver(event);
      } catch (error) {
        failures += 1;
        if (failures > POLL_FAILURES_MAX) return this.#lose();
        await sleep(POLL_PAUSE_MS);
      }
    }
  }

  #deliver(event) {
    if (event.janus === "error" || event.janus === "timeout") return this.#lose();
    this.#handles.get(event.sender)?.deliver(event);
  }

  #lose() {
    if (this.#closed) return;
    this.#closed = true;
    this.#onLost();
  }
}

class Handle {
  #session;
  #path;
  #onEvent;
  #waiting = new Map();

  constructor(session, path, onEvent) {
    this.#session = session;
    this.#path = path;
    this.#onEvent = onEvent;
  }

  /** Say something to the plugin; resolves with the event that answers it, its data and perhaps its jsep. */
  say(body, jsep) {
    const transaction = this.#session.nextTransaction();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle(reject)(new JanusError("silent", "no answer in time")), ANSWER_MS_MAX);
      const settle = (how) => (what) => {
        clearTimeout(timer);
        this.#waiting.delete(transaction);
        how(what);
      };
      this.#waiting.set(transaction, { resolve: settle(resolve), reject: settle(reject) });
      const message = { janus: "message", transaction, body, ...(jsep && { jsep }) };
      this.#session.post(this.#path, message).catch(settle(reject));
    });
  }

  /** Tell Janus of one way to reach us; null: that was the last one. */
  trickle(candidate) {
    const message = { janus: "trickle", candidate: candidate ?? { completed: true } };
    return this.#session.post(this.#path, message).catch(() => undefined);
  }

  detach() {
    return this.#session.post(this.#path, { janus: "detach" }).catch(() => undefined);
  }

  deliver(event) {
    const data = event.plugindata?.data ?? {};
    const waiting = event.janus === "event" ? this.#waiting.get(event.transaction) : undefined;
    if (waiting === undefined) return this.#onEvent({ kind: event.janus, data, jsep: event.jsep });
    if (data.error_code) return waiting.reject(new JanusError("refused", data.error, data.error_code));
    return waiting.resolve({ data, jsep: event.jsep });
  }
}
