/*
 * The built-in meeting room: camera and microphone out, everybody else in, on a Janus VideoRoom.
 *
 * What the page must hold (everything inside is made here):
 *
 *   <link rel="stylesheet" href="…/room/room.css">
 *   <main id="room" data-url="CLIENT_URL" data-room="ALIAS" data-pin="123456"
 *         data-display="Ada" data-title="Board" data-secret="" data-door="/join/ALIAS" data-ice="[]">
 *     <noscript>The meeting room needs JavaScript.</noscript>
 *   </main>
 *   <script type="module" src="…/room/room.js"></script>
 *
 * url: Janus' public address (client_url). room: the alias. pin: the PIN, already checked by the server.
 * Optional — display: a name to begin with; title: the heading; secret: Janus' api_secret; door: where "Back to the join
 * page" leads; ice: STUN and TURN servers as RTCPeerConnection takes them (JSON list).
 *
 * Content-Security-Policy: script-src and style-src 'self'; connect-src the origin of url; all else may be 'none'. No
 * inline script or style is needed. janus.js must stand beside this file. Browsers give camera and microphone to https
 * and to localhost only.
 *
 * `main#room[data-state]` tells how it stands: lobby, joining, in, reconnecting, over, failed (then also data-problem:
 * not-open, away, camera, insecure, full, put-out, trouble).
 */

import { JanusError, Session, sleep } from "./janus.js";

const OPENING_TRIES = 4; // the page may be a moment ahead of the bridge
const OPENING_PAUSE_MS = 1_500;
const RECONNECT_PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000];
const PICTURE_CHECK_MS = 1_500;
const NAME_CHARS_MAX = 60;
const NO_SUCH_ROOM = 426;
const PIN_MISSING = 429;
const ROOM_FULL = 432;
const UNAUTHORIZED = 433;

const WORDS = {
  "not-open": [
    "This PIN does not open the meeting now",
    "Either the meeting is not open (not yet, or not any more), or its PIN is another one. The join page knows more.",
  ],
  away: [
    "The conference bridge cannot be reached",
    "Check your network. If other pages work, the bridge itself is away: try again in a moment.",
  ],
  camera: [
    "The browser may not use your camera and microphone",
    "Allow them in the address bar and try again, or join without camera: others will still see your name.",
  ],
  "camera-missing": [
    "No camera or microphone was found",
    "Plug one in and try again, or join without camera: you will hear and see the others.",
  ],
  "camera-busy": [
    "Your camera or microphone is in use",
    "Close the other program that uses it and try again, or join without camera.",
  ],
  insecure: [
    "Camera and microphone need a secure address",
    "Browsers give them to https addresses only. Ask whoever runs this server; until then join without camera.",
  ],
  full: ["The meeting room is full", "Ask somebody inside to leave, then try again."],
  "put-out": ["You were put out of the meeting", "If that was a mistake, ask the organizer and join again."],
  trouble: ["Joining did not work", "Try again. If it happens again, tell whoever runs this server what stands here:"],
};

/** Make an element: `make("p", {class: "x", onclick: f}, "text", child)`. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** One person in the grid: a picture when there is one, else the name in large. */
class Tile {
  #frames = -1;
  #watch;

  constructor(name, { own = false } = {}) {
    this.video = make("video", { autoplay: true, playsinline: true, class: own ? "room-own" : "" });
    this.video.muted = own;
    const shown = own ? `${name} (you)` : name;
    this.element = make(
      "li",
      { class: "room-tile", "data-picture": "no" },
      this.video,
      make("span", { class: "room-initial", "aria-hidden": "true" }, [...name][0] ?? "?"),
      make("span", { class: "room-name" }, shown),
    );
    this.video.setAttribute("aria-label", `Picture of ${shown}`);
    this.#watch = setInterval(() => this.#look(), PICTURE_CHECK_MS);
    this.video.addEventListener("loadeddata", () => this.#look());
  }

  show(stream) {
    this.video.srcObject = stream;
    this.video.play().catch(() => undefined);
  }

  remove() {
    clearInterval(this.#watch);
    this.video.srcObject = null;
    this.element.remove();
  }

  /** A camera that was switched off sends nothing: no new frame since last time means no picture. */
  #look() {
    const frames = this.video.getVideoPlaybackQuality().totalVideoFrames;
    this.element.dataset.picture = frames > 0 && frames !== this.#frames ? "yes" : "no";
    this.#frames = frames;
  }
}

/** The connection to the room: one session, one handle that publishes, one for each other person. */
class Call {
  #facts;
  #hear;
  #session;
  #mine;
  #privateId = 0;
  #senders = {};
  #connections = new Map(); // by publisher's id; "" is our own
  #ended = false;

  /** `hear` gets: appeared(id, name, stream), vanished(id), over(), putOut(), lost(). Nothing after leave(). */
  constructor(facts, hear) {
    this.#facts = facts;
    this.#hear = hear;
  }

  async join(name, tracks) {
    this.#session = new Session(this.#facts.url, this.#facts.secret, () => this.#end("lost"));
    await this.#session.open();
    this.#mine = await this.#session.attach((event) => this.#onRoomEvent(event));
    const { room, pin } = this.#facts;
    const { data } = await this.#mine.say({ request: "join", ptype: "publisher", room, pin, display: name });
    this.#privateId = data.private_id;
    await this.#publish(tracks);
    this.#welcome(data.publishers);
  }

  /** Send this track from now on; null: send nothing. */
  send(kind, track) {
    return this.#senders[kind].replaceTrack(track);
  }

  leave() {
    this.#end();
  }

  async #publish(tracks) {
    const connection = this.#connect("", this.#mine);
    // Both lines are there from the start, so that a camera can be switched on later without asking anybody.
    for (const kind of ["audio", "video"]) {
      const line = connection.addTransceiver(tracks[kind] ?? kind, { direction: "sendonly" });
      this.#senders[kind] = line.sender;
    }
    await connection.setLocalDescription();
    const body = { request: "configure", audio: true, video: true };
    const { jsep } = await this.#mine.say(body, connection.localDescription.toJSON());
    await connection.setRemoteDescription(jsep);
  }

  async #watch(publisher) {
    const handle = await this.#session.attach(() => undefined);
    const connection = this.#connect(publisher.id, handle);
    const stream = new MediaStream();
    connection.addEventListener("track", ({ track }) => stream.addTrack(track));
    const { room, pin } = this.#facts;
    const { jsep } = await handle.say({
      request: "join",
      ptype: "subscriber",
      room,
      pin,
      private_id: this.#privateId,
      streams: [{ feed: publisher.id }],
    });
    await connection.setRemoteDescription(jsep);
    await connection.setLocalDescription();
    await handle.say({ request: "start" }, connection.localDescription.toJSON());
    if (this.#connections.get(publisher.id) === connection) {
      this.#hear.appeared(publisher.id, publisher.display || "Somebody", stream);
    }
  }

  #connect(id, handle) {
    const connection = new RTCPeerConnection({ iceServers: this.#facts.ice });
    connection.addEventListener("icecandidate", ({ candidate }) => {
      handle.trickle(candidate?.candidate ? candidate.toJSON() : null);
    });
    connection.addEventListener("connectionstatechange", () => {
      if (connection.connectionState === "failed" && id === "") this.#end("lost");
    });
    this.#connections.set(id, connection);
    return connection;
  }

  #welcome(publishers = []) {
    for (const publisher of publishers) {
      if (this.#connections.has(publisher.id)) continue;
      this.#watch(publisher).catch(() => this.#forget(publisher.id));
    }
  }

  #forget(id) {
    this.#connections.get(id)?.close();
    if (this.#connections.delete(id)) this.#hear.vanished(id);
  }

  #onRoomEvent({ kind, data }) {
    if (data.videoroom === "destroyed") return this.#end("over");
    if (data.reason === "kicked" && data.leaving === "ok") return this.#end("putOut");
    if (kind === "hangup" || kind === "detached") return this.#end("lost");
    this.#welcome(data.publishers);
    for (const id of [data.leaving, data.unpublished]) {
      if (id && id !== "ok") this.#forget(id);
    }
  }

  #end(why) {
    if (this.#ended) return;
    this.#ended = true;
    for (const connection of this.#connections.values()) connection.close();
    this.#session?.close();
    if (why) this.#hear[why]();
  }
}

/** The page: lobby, grid, toolbar, words. */
class Room {
  #root;
  #facts;
  #call;
  #tiles = new Map();
  #own;
  #tracks = { audio: null, video: null };
  #name = "";
  #parts = {};

  constructor(root) {
    const { url, room, pin, secret = "", ice = "[]", title = "Meeting", display = "", door = "" } = root.dataset;
    this.#root = root;
    this.#facts = { url, room, pin, secret, ice: JSON.parse(ice || "[]"), title, display, door };
    this.#build();
    this.#enter("lobby");
    addEventListener("pagehide", () => this.#call?.leave());
  }

  // --- what is on the page ------------------------------------------------------------------------------------------

  #build() {
    const { title, display } = this.#facts;
    const field = make("input", {
      id: "room-display", name: "display", autocomplete: "name", maxlength: String(NAME_CHARS_MAX), required: true,
      value: display,
    });
    const form = make(
      "form",
      { class: "room-lobby", "aria-labelledby": "room-title", onsubmit: (event) => this.#onLobby(event) },
      make("label", { for: "room-display" }, "Your name"),
      field,
      make("button", { type: "submit", value: "camera", class: "room-first" }, "Join with camera and microphone"),
      make("button", { type: "submit", value: "microphone" }, "Join without camera"),
    );
    const tiles = make("ul", { class: "room-tiles", "aria-label": "People in the meeting" });
    const toolbar = make("div", {
      class: "room-toolbar", role: "toolbar", "aria-label": "Microphone, camera and leaving",
      onkeydown: (event) => this.#onToolbarKey(event),
    });
    const problem = make("section", { class: "room-problem", role: "alert", tabindex: "-1" });
    const status = make("p", { class: "room-status", role: "status" });
    this.#parts = { form, field, tiles, toolbar, problem, status };
    this.#root.replaceChildren(make("h1", { id: "room-title" }, title), status, problem, form, tiles, toolbar);
    this.#root.addEventListener("keydown", (event) => this.#onShortcut(event));
    this.#buildToolbar();
  }

  #buildToolbar() {
    const button = (name, onclick, key) => make("button", {
      type: "button", name, onclick, class: `room-${name}`, ...(key && { "aria-keyshortcuts": key }),
    });
    this.#parts.microphone = button("microphone", () => this.#toggle("audio"), "m");
    this.#parts.camera = button("camera", () => this.#toggle("video"), "c");
    this.#parts.leave = button("leave", () => this.#leave());
    this.#parts.leave.append("Leave");
    this.#parts.toolbar.append(this.#parts.microphone, this.#parts.camera, this.#parts.leave);
    this.#roam(this.#parts.microphone);
    this.#label();
  }

  #label() {
    const { microphone, camera } = this.#parts;
    const on = { audio: Boolean(this.#tracks.audio?.enabled), video: Boolean(this.#tracks.video) };
    microphone.textContent = on.audio ? "Mute microphone" : "Unmute microphone";
    camera.textContent = on.video ? "Stop camera" : "Start camera";
    microphone.dataset.on = on.audio;
    camera.dataset.on = on.video;
  }

  #enter(state) {
    const { form, tiles, toolbar, problem } = this.#parts;
    this.#root.dataset.state = state;
    const inside = state === "in" || state === "reconnecting";
    form.hidden = !(state === "lobby" || state === "failed");
    form.inert = state === "joining";
    tiles.hidden = toolbar.hidden = !inside;
    if (state !== "failed" && state !== "over") {
      problem.replaceChildren();
      delete this.#root.dataset.problem;
    }
    problem.hidden = !problem.hasChildNodes();
  }

  #say(text) {
    this.#parts.status.textContent = text;
  }

  #complain(name, detail = "") {
    this.#forgetEverybody();
    const [heading, advice] = WORDS[name];
    const { problem } = this.#parts;
    problem.replaceChildren(make("h2", {}, heading), make("p", {}, advice));
    if (detail) problem.append(make("p", { class: "room-detail" }, detail));
    this.#offerDoor(problem);
    this.#say("");
    this.#root.dataset.problem = name;
    this.#enter("failed");
    problem.focus();
  }

  #offerDoor(problem) {
    if (this.#facts.door) problem.append(make("a", { href: this.#facts.door }, "Back to the join page"));
  }

  // --- keys ---------------------------------------------------------------------------------------------------------

  /** m and c while the focus is in the room and not in a text field. */
  #onShortcut(event) {
    if (this.#root.dataset.state !== "in" || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input")) return;
    const kind = { m: "audio", c: "video" }[event.key.toLowerCase()];
    if (kind) this.#toggle(kind);
  }

  /** The toolbar is one stop for Tab; arrows, Home and End move inside. */
  #onToolbarKey(event) {
    const buttons = [...this.#parts.toolbar.querySelectorAll("button")];
    const here = buttons.indexOf(document.activeElement);
    const step = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = buttons.at(step % buttons.length);
    this.#roam(next);
    next.focus();
  }

  #roam(current) {
    for (const button of this.#parts.toolbar.querySelectorAll("button")) {
      button.tabIndex = button === current ? 0 : -1;
    }
  }

  // --- joining ------------------------------------------------------------------------------------------------------

  async #onLobby(event) {
    event.preventDefault();
    this.#name = this.#parts.field.value.trim().slice(0, NAME_CHARS_MAX);
    if (!this.#name) return this.#parts.field.focus();
    const withCamera = event.submitter?.value !== "microphone";
    this.#enter("joining");
    this.#say("Joining…");
    try {
      await this.#openDevices(withCamera);
    } catch (error) {
      return this.#complain(deviceProblem(error));
    }
    try {
      await this.#joinPatiently();
    } catch (error) {
      return this.#complain(...joinProblem(error));
    }
    this.#settleIn();
    return this.#parts.microphone.focus();
  }

  /** With camera both devices must work; without it even the microphone is a wish. */
  async #openDevices(withCamera) {
    this.#closeDevices();
    const ask = async (wanted) => {
      if (!navigator.mediaDevices) throw new DOMException("", "InsecureError");
      return navigator.mediaDevices.getUserMedia(wanted);
    };
    let stream;
    if (withCamera) stream = await ask({ audio: true, video: { width: { ideal: 640 }, height: { ideal: 360 } } });
    else stream = await ask({ audio: true }).catch(() => new MediaStream());
    [this.#tracks.audio = null] = stream.getAudioTracks();
    [this.#tracks.video = null] = stream.getVideoTracks();
  }

  async #joinPatiently() {
    for (let attempt = 1; ; attempt += 1) {
      const call = new Call(this.#facts, this.#listener());
      this.#call = call;
      try {
        return await call.join(this.#name, this.#tracks);
      } catch (error) {
        call.leave();
        if (!isNotOpen(error) || attempt === OPENING_TRIES) throw error;
        this.#say("The meeting is being opened…");
        await sleep(OPENING_PAUSE_MS);
      }
    }
  }

  #settleIn() {
    this.#own ??= new Tile(this.#name, { own: true });
    this.#parts.tiles.prepend(this.#own.element);
    this.#showOwn();
    this.#label();
    this.#enter("in");
    this.#say("You are in the meeting.");
  }

  #listener() {
    return {
      appeared: (id, name, stream) => this.#onAppeared(id, name, stream),
      vanished: (id) => this.#onVanished(id),
      over: () => this.#onOver(),
      putOut: () => this.#complain("put-out"),
      lost: () => this.#onLost(),
    };
  }

  // --- while it lasts -----------------------------------------------------------------------------------------------

  #onAppeared(id, name, stream) {
    const tile = new Tile(name);
    tile.name = name;
    tile.show(stream);
    this.#tiles.set(id, tile);
    this.#parts.tiles.append(tile.element);
    this.#say(`${name} is here.`);
  }

  #onVanished(id) {
    const tile = this.#tiles.get(id);
    if (!tile) return;
    this.#tiles.delete(id);
    tile.remove();
    this.#say(`${tile.name} has left.`);
  }

  #onOver() {
    this.#forgetEverybody();
    const { problem } = this.#parts;
    problem.replaceChildren(make("h2", {}, "The meeting is over"), make("p", {}, "Thank you for taking part."));
    this.#offerDoor(problem);
    this.#say("");
    this.#enter("over");
    problem.focus();
  }

  async #onLost() {
    if (this.#root.dataset.state !== "in") return;
    this.#enter("reconnecting");
    this.#say("The connection was lost. Reconnecting…");
    for (const id of [...this.#tiles.keys()]) this.#onVanished(id);
    let problem = new JanusError("away", "");
    for (const pause of RECONNECT_PAUSES_MS) {
      await sleep(pause * (0.75 + Math.random() / 2)); // not everybody at the same moment
      if (this.#root.dataset.state !== "reconnecting") return;
      try {
        await this.#joinPatiently();
        return this.#settleIn();
      } catch (error) {
        problem = error;
        if (isNotOpen(error)) break;
      }
    }
    this.#complain(...joinProblem(problem));
  }

  async #toggle(kind) {
    const track = this.#tracks[kind];
    if (kind === "audio" && track) track.enabled = !track.enabled;
    else if (track) await this.#switchOff(kind);
    else await this.#switchOn(kind);
    this.#showOwn();
    this.#label();
  }

  async #switchOff(kind) {
    this.#tracks[kind].stop();
    this.#tracks[kind] = null;
    await this.#call.send(kind, null);
  }

  async #switchOn(kind) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ [kind]: true });
      [this.#tracks[kind]] = stream.getTracks();
      await this.#call.send(kind, this.#tracks[kind]);
    } catch (error) {
      this.#say(WORDS[deviceProblem(error)].join(". "));
    }
  }

  #showOwn() {
    this.#own?.show(new MediaStream(this.#tracks.video ? [this.#tracks.video] : []));
  }

  #leave() {
    this.#forgetEverybody();
    this.#enter("lobby");
    this.#say("You have left the meeting.");
    this.#parts.form.querySelector("button").focus();
  }

  #forgetEverybody() {
    this.#call?.leave();
    for (const tile of this.#tiles.values()) tile.remove();
    this.#tiles.clear();
    this.#own?.remove();
    this.#own = undefined;
    this.#closeDevices();
  }

  #closeDevices() {
    for (const kind of ["audio", "video"]) {
      this.#tracks[kind]?.stop();
      this.#tracks[kind] = null;
    }
  }
}

const isNotOpen = (error) => [NO_SUCH_ROOM, PIN_MISSING, UNAUTHORIZED].includes(error.code);

function joinProblem(error) {
  if (isNotOpen(error)) return ["not-open"];
  if (error.code === ROOM_FULL) return ["full"];
  if (["away", "silent", "lost"].includes(error.kind)) return ["away"];
  return ["trouble", `${error.code || error.name}: ${error.message}`];
}

function deviceProblem(error) {
  const known = {
    NotAllowedError: "camera",
    NotFoundError: "camera-missing",
    OverconstrainedError: "camera-missing",
    NotReadableError: "camera-busy",
    InsecureError: "insecure",
  };
  return known[error.name] ?? "camera";
}

new Room(document.getElementById("room"));
