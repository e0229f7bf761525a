// The one module that talks to the daemon.
//
// A request that is refused for want of the home's token waits while the person gives it, and is sent again. How one is
// sent is in send.js, which is there before this is.

import { request, ROOT, takeAhead, token } from "./send.js";
import { signal } from "./ui.js";

/** @typedef {{ id: string, name: string }} Named */
/** @typedef {{ id: string, name: string, lifecycle: "active" | "deleted", runs: number, created_ms: number,
 *   updated_ms: number, description: string, tags: Record<string, string> }} Experiment */
/** @typedef {number | string | null} Cell A metric that JSON has no number for is "NaN", "Infinity" or "-Infinity". */
/** @typedef {"RUNNING" | "SCHEDULED" | "FINISHED" | "FAILED" | "KILLED"} RunStatus */
/** @typedef {{ id: string, experiment: string, name: string, user: string, status: RunStatus,
 *   lifecycle: "active" | "deleted", start_ms: number, end_ms: number | null, conflicted: boolean,
 *   values: Cell[] }} Row */
/** @typedef {{ set: number, total: number, columns: string[], rows: Row[] }} TablePage */
/** @typedef {{ experiments?: string[], filter?: string, order_by?: string[], deleted?: boolean, columns?: string[],
 *   offset?: number, limit: number, set?: number | null }} TableQuery */
/** @typedef {{ metrics: string[], params: string[], tags: string[] }} Columns */
/** @typedef {{ model_id: string, dataset_name: string, dataset_digest: string }} Context */
/** @typedef {{ key: string, context: Context, step: number, timestamp_ms: number, value: Cell, points: number,
 *   min: Cell, max: Cell, trend: Cell[] }} MetricSummary */
/** @typedef {{ name: string, digest: string, source_type: string, source: string, schema: string | null,
 *   profile: string | null, tags: { key: string, value: string }[] }} Dataset */
/** @typedef {{ path: string, file: { blob: string, size: number, here: boolean } | null }} Artifact */
/** @typedef {{ id: string, experiment: Named, name: string, user: string, status: RunStatus,
 *   lifecycle: "active" | "deleted", start_ms: number, end_ms: number | null, description: string,
 *   params: Record<string, string>, tags: Record<string, string>, metrics: Record<string, Cell>,
 *   conflicted_params: string[], series: MetricSummary[], inputs: Dataset[],
 *   outputs: { model_id: string, step: number }[], artifacts: Artifact[] }} Run */
/** @typedef {{ count: number, mean: Cell, deviation: Cell, min: Cell, max: Cell }} Spread */
/** @typedef {{ total: number, groups: { value: Cell, runs: number, latest_ms: number, metrics: (Spread | null)[] }[] }} Groups */
/** @typedef {{ name: string, address: string }} SavedView */
/** @typedef {{ number: number, semver: string | null }} VersionLabel */
/** @typedef {"None" | "Staging" | "Production" | "Archived"} Stage */
/** @typedef {{ name: string, description: string, tags: Record<string, string>, created_ms: number, updated_ms: number,
 *   versions: number, stages: Partial<Record<Stage, VersionLabel>>, aliases: Record<string, VersionLabel>,
 *   conflicts: Record<string, string | number>[] }} RegisteredModel */
/** @typedef {{ id: string, number: number, served: boolean, semver: string | null, stage: Stage, aliases: string[],
 *   created_ms: number, updated_ms: number, description: string, tags: Record<string, string>, source: string,
 *   run_id: string, run: string | null, logged_model: string }} ModelVersion */
/** @typedef {{ model: string, version: ModelVersion }} VersionOfRun */
/** @typedef {{ at_ms: number, what: string, version?: number, alias?: string, from?: string, to?: string, who?: string,
 *   device: string, device_name: string, note?: string }} ModelEvent */
/** @typedef {RegisteredModel & { all: ModelVersion[], history: ModelEvent[] }} ModelDetails */
/** @typedef {{ run: string, key: string, context: Context, total: number, steps: number[], times_ms: number[],
 *   values: Cell[] }} Curve */
/** @typedef {{ runs: string[], name?: string, description?: string, set_tags?: Record<string, string>,
 *   delete_tags?: string[], deleted?: boolean }} RunsUpdate */
/** @typedef {{ device: Named, role: string, connected: boolean, last_seen_ms: number | null, entries_to_get: number,
 *   entries_to_give: number, last_error: string | null }} Peer */
/** @typedef {{ device: Named, role: string, since_ms: number, founder: boolean, here: boolean }} Member */
/** @typedef {{ workspace: Named, members: Member[], former: { device: Named, by: Named, at_ms: number }[],
 *   tickets: { key: string, by: Named, role: string, expires_ms: number | null, uses_left: number, name: string | null, recovery: boolean }[],
 *   refused: { device: Named, reason: string }[] }} Members */
/** @typedef {{ id: string, experiment: Named, name: string, model_type: string, status: string, lifecycle: "active" | "deleted",
 *   created_ms: number, run: string, params: Record<string, string>, tags: Record<string, string>, artifacts: Artifact[] }} LoggedModel */
/** @typedef {{ label: string | null, value: string, said: string, served: boolean, device: Named | null, at_ms: number }} ConflictValue */
/** @typedef {{ id: string, kind: string, document: string, name: string, key: string, values: ConflictValue[] }} Conflict */
/** @typedef {{ all?: boolean, device?: string, since_ms?: number, blobs: "all" | "small" | "none", encrypt: boolean }} BundleWanted */
/** @typedef {{ head: { device: Named, made_ms: number }, bytes: number, entries: number, entries_new: number, blobs: number,
 *   blob_bytes: number, blobs_new: number, blobs_bad: string[], missing: { device: string, from: number, until: number }[],
 *   stuck: { device: string, why: string }[], broken: string | null }} BundleReport */
/** @typedef {{ name: string, workspace: Named, current: boolean, runs: number, connected: number }} Workspace */
/** @typedef {{ at_ms: number, device: Named, entry: number, hash: string, place: number, kind: string, document: string, name: string,
 *   said: string[], more?: number, void?: string, broken?: string }} AuditLine */
/** @typedef {{ path: string, blob: string, size: number | null, pinned: boolean,
 *   holders: { device: Named, here: boolean, connected: boolean }[] }} Held */
/** @typedef {{ what: string, since_ms: number, blobs: number, missing: number }} Pin */
/** @typedef {{ queued: number, bytes_done: number, bytes_total: number,
 *   under_way: { blob: string, bytes_done: number, bytes_total: number }[] }} Transfers */
/** @typedef {Record<string, any>} Status */

/** What the page's own workspace is called in its address; "" for the one that clients get who name none. */
export const PLACE = decodeURIComponent(location.pathname.match(/^\/w\/([^/]+)/)?.[1] ?? "");
/** What clients of this workspace are told to use. */
export const CLIENTS_URL = location.origin + ROOT.slice(0, -"/api/v1".length);

/** What the daemon said when it refused. */
export class ApiError extends Error {
  /** @param {number} status @param {{ code?: string, message?: string, hint?: string }} error */
  constructor(status, error) {
    super(error.message ?? `the daemon answered with status ${status}`);
    this.status = status;
    this.code = error.code ?? "internal";
    this.hint = error.hint;
  }
}

/** What waits for the token: set while the login is shown. */
export const login = signal(/** @type {null | { wrong: boolean, done: (given: boolean) => void }} */ (null));
/** @type {Promise<boolean> | null} */
let asking = null;

function askForToken() {
  const wrong = token() !== null;
  asking ??= new Promise((resolve) => {
    login.value = {
      wrong,
      done(given) {
        login.value = null;
        asking = null;
        resolve(given);
      },
    };
  });
  return asking;
}

/**
 * Sends a request, again if the token was wanted and then given.
 * @param {string} path @param {Omit<RequestInit, "headers"> & { query?: Record<string, string>, headers?: Record<string, string> }} [options]
 * @returns {Promise<Response>}
 */
async function send(path, { query, ...options } = {}) {
  const search = query ? `?${new URLSearchParams(query)}` : "";
  for (;;) {
    /** @type {Response} */
    let answer;
    try {
      answer = await request(path + search, options);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError(0, { code: "gone", message: "the daemon does not answer", hint: "start it: runmesh up" });
    }
    if (answer.ok) return answer;
    const body = await answer.json().catch(() => ({}));
    if (answer.status === 401 && (await askForToken())) continue;
    throw new ApiError(answer.status, body.error ?? {});
  }
}

/** @param {string} path @param {Record<string, string>} [query] @param {AbortSignal} [signal] */
const get = async (path, query, signal) => (query ? undefined : await takeAhead(path)) ?? (await send(path, { query, signal })).json();

/** @param {string} path @param {unknown} body @param {AbortSignal} [signal] */
async function post(path, body, signal) {
  const text = JSON.stringify(body);
  return (await takeAhead(path, text)) ?? (await send(path, { method: "POST", body: text, signal })).json();
}

/** @param {string} text */
const part = encodeURIComponent;

/** Where the files of a run are, or those of a logged model. @param {string} id */
const owner = (id) => `${id.startsWith("m-") ? "logged-models" : "runs"}/${part(id)}`;

/** The address of a file, for links. @param {string} id of a run or a logged model @param {string} path */
export const addressOf = (id, path) => `${ROOT}/${owner(id)}/artifact?${new URLSearchParams({ path })}`;

export const api = {
  /** @returns {Promise<Status>} */
  status: () => get("status"),
  /** The workspaces of this device. @returns {Promise<Workspace[]>} */
  workspaces: () => get("workspaces"),
  /** @returns {Promise<Peer[]>} */
  peers: () => get("peers"),
  /** @returns {Promise<Experiment[]>} */
  experiments: () => get("experiments"),
  /** @param {string} name @returns {Promise<Experiment>} */
  createExperiment: (name) => post("experiments", { name }),
  /** @param {string} id @param {Omit<RunsUpdate, "runs">} change */
  updateExperiment: (id, change) => post(`experiments/${part(id)}`, change),
  /** @param {string[]} experiments @returns {Promise<Columns>} */
  columns: (experiments) => get(`columns?${new URLSearchParams(experiments.map((id) => ["experiment", id]))}`),
  /** @param {TableQuery} query @param {AbortSignal} [signal] @returns {Promise<TablePage>} */
  table: (query, signal) => post("runs/table", query, signal),
  /** @param {{ experiments?: string[], filter?: string, deleted?: boolean, by: string, metrics: string[] }} query @returns {Promise<Groups>} */
  groups: (query) => post("runs/groups", query),
  /** @returns {Promise<SavedView[]>} */
  views: () => get("views"),
  /** @param {string} name @param {string | null} address null forgets the view */
  saveView: (name, address) => post("views", { name, address }),
  /** @param {string} id @returns {Promise<Run>} */
  run: (id) => get(`runs/${part(id)}`),
  /** @param {RunsUpdate} update */
  updateRuns: (update) => post("runs/update", update),
  /** Takes deleted runs away for good. @param {string[]} runs @returns {Promise<{ runs: number, freed_blobs: number, freed_bytes: number }>} */
  purgeRuns: (runs) => post("runs/purge", { runs }),
  /** @param {{ runs: string[], keys: string[], axis?: "step" | "time" | "relative", from?: number | null, to?: number | null,
   *   points: number }} query @param {AbortSignal} [signal] @returns {Promise<Curve[]>} */
  curves: (query, signal) => post("curves", query, signal),
  /** @param {string} id @returns {Promise<LoggedModel>} */
  loggedModel: (id) => get(`logged-models/${part(id)}`),
  /** @param {string} id of a run or a logged model @param {string} path @returns {Promise<Artifact[]>} */
  artifacts: (id, path) => get(`${owner(id)}/artifacts`, { path }),
  /** All files. @param {string} id of a run or a logged model @returns {Promise<Artifact[]>} */
  allArtifacts: (id) => get(`${owner(id)}/artifacts`, { recursive: "true" }),
  /** @param {string} id of a run or a logged model @param {string} path @param {AbortSignal} [signal] */
  artifact: (id, path, signal) => send(`${owner(id)}/artifact`, { query: { path }, signal }),
  /** The bytes from one to before another. @param {string} id of a run or a logged model @param {string} path @param {number} from
   * @param {number} until @param {AbortSignal} [signal] @returns {Promise<ArrayBuffer>} */
  artifactBytes: async (id, path, from, until, signal) =>
    (await send(`${owner(id)}/artifact`, { query: { path }, headers: { range: `bytes=${from}-${until - 1}` }, signal })).arrayBuffer(),
  /** @returns {Promise<{ conflicts: Conflict[], more: boolean }>} */
  conflicts: () => get("conflicts"),
  /** @param {{ what: string, take: string, verbatim?: boolean, note?: string }} wanted @returns {Promise<Conflict>} */
  resolveConflict: (wanted) => post("conflicts/resolve", wanted),
  /** @param {{ run?: string, model?: string, limit: number, cursor?: string }} wanted @returns {Promise<{ lines: AuditLine[], cursor: string | null }>} */
  audit: (wanted) => post("audit", wanted),
  /** Who holds a file. @param {string} id of a run or a logged model @param {string} path @param {string} blob @returns {Promise<Held>} */
  holders: async (id, path, blob) => (id.startsWith("m-") ? get(`blobs/${part(blob)}/holders`) : (await get(`runs/${part(id)}/holders`, { path }))[0]),
  /** @returns {Promise<Transfers>} */
  transfers: () => get("transfers"),
  /** @returns {Promise<Pin[]>} */
  pins: () => get("pins"),
  /** @param {string} what a run, `RUN/PATH`, or a blob @returns {Promise<Pin>} */
  pin: (what) => post("pins", { what }),
  /** @param {string} what @returns {Promise<Pin>} */
  unpin: (what) => post("pins/remove", { what }),
  /** The answer's body is the bundle. @param {BundleWanted} wanted */
  exportBundle: (wanted) => send("bundle/export", { method: "POST", body: JSON.stringify(wanted) }),
  /** @param {Blob} bundle @returns {Promise<BundleReport>} */
  importBundle: async (bundle) => (await send("bundle/import", { method: "PUT", body: bundle })).json(),
  /** @returns {Promise<RegisteredModel[]>} */
  models: () => get("models"),
  /** @param {string} name @returns {Promise<ModelDetails>} */
  model: (name) => get(`models/${part(name)}`),
  /** What a run was registered as. @param {string} run @returns {Promise<VersionOfRun[]>} */
  versionsOf: (run) => get(`runs/${part(run)}/versions`),
  /** @param {{ run: string, path: string, name: string, note: string, who: string }} wanted @returns {Promise<ModelVersion>} */
  registerModel: (wanted) => post("models/register", wanted),
  /** @param {{ name: string, version: string, stage: string | null, alias: string | null, keep_others: boolean, rollback: boolean,
   *   who: string, note: string }} wanted @returns {Promise<ModelVersion>} */
  promoteModel: (wanted) => post("models/promote", wanted),
  /** @param {{ name: string, keep: string, who: string, note: string }} wanted @returns {Promise<ModelVersion>} */
  resolveModel: (wanted) => post("models/resolve", wanted),
  /** @param {{ role: string, uses: number, valid_for_ms: number | null }} wanted
   * @returns {Promise<{ ticket: string, role: string, expires_ms: number | null, uses: number }>} */
  invite: (wanted) => post("invite", wanted),
  /** @returns {Promise<Members>} */
  members: () => get("members"),
  /** @param {string} device */
  removeMember: (device) => post("members/remove", { device }),
  /** @param {string} device @param {string} role */
  setRole: (device, role) => post("members/role", { device, role }),
  /** @param {string} device @param {string} name */
  renameMember: (device, name) => post("members/rename", { device, name }),
  /** @param {string} ticket */
  revokeTicket: (ticket) => post("members/revoke", { ticket }),
  /** @param {string} ticket @param {boolean} leave_behind */
  join: (ticket, leave_behind) => post("join", { ticket, leave_behind }),
};

/**
 * Calls back whenever there may be something new, for as long as the page is open.
 * @param {() => void} changed @param {(online: boolean) => void} state
 */
export async function listen(changed, state) {
  for (let wait_ms = 500; ; wait_ms = Math.min(wait_ms * 2, 10_000)) {
    try {
      const stream = (await send("events")).body?.pipeThrough(new TextDecoderStream()).getReader();
      if (!stream) throw new Error("no stream");
      state(true);
      wait_ms = 250;
      for (let read = await stream.read(); !read.done; read = await stream.read()) {
        if (read.value.includes("event:")) changed();
      }
    } catch {
      // Whatever it was, the next attempt tells whether it has passed.
    }
    state(false);
    await new Promise((resolve) => setTimeout(resolve, wait_ms));
  }
}
