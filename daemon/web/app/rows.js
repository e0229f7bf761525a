// A long table of runs, of which the rows that are seen are here.
//
// The daemon keeps the order of a search under a number (`set`); rows are asked for by their place in it, a page at
// a time. A refresh asks for a new order and for the rows in view, and keeps what is shown until they come.

import { ApiError, api } from "./api.js";
import { PAGE, partOf } from "./asked.js";
import { batch, signal, unlessNew } from "./ui.js";

/** Pages that are kept: more than any screen shows, few enough for 100,000 runs to take no memory. */
const MAX_PAGES = 60;

export class Rows {
  /** @param {import("./asked.js").Query} query */
  constructor(query) {
    this.query = query;
    /** How many rows there are; null until that is known. */
    this.total = signal(/** @type {number | null} */ (null));
    /** What the rows have values of, in their order; null until that is known. */
    this.columns = signal(query.columns ?? null);
    this.error = signal(/** @type {ApiError | null} */ (null));
    /** Counts changes of what `row` returns. */
    this.version = signal(0);
    /** @type {Map<number, import("./api.js").Row[]>} */
    this.pages = new Map();
    /** @type {Set<number>} */
    this.asked = new Set();
    /** @type {number | null} */
    this.set = null;
    this.generation = 0;
    /** How many refreshes wait for their answer. */
    this.refreshing = 0;
    this.stop = new AbortController();
  }

  /** @param {number} index */
  row(index) {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** Asks for the rows from one place to before another that are not here. @param {number} from @param {number} until */
  want(from, until) {
    this.seen = [from, until];
    if (this.total.value === null) {
      if (!this.refreshing) this.refresh();
      return;
    }
    const last = Math.min(until, this.total.value) - 1;
    for (let page = Math.floor(from / PAGE); page <= Math.floor(last / PAGE); page++) {
      if (!this.pages.has(page) && !this.asked.has(page)) this.load(page);
    }
  }

  /** @param {number} page */
  async load(page) {
    const generation = this.generation;
    this.asked.add(page);
    try {
      const answer = await this.ask(page * PAGE, PAGE, this.set);
      if (generation !== this.generation) return;
      this.pages.set(page, answer.rows);
      this.forget(page);
      this.version.value += 1;
    } catch (error) {
      this.failed(error);
    } finally {
      this.asked.delete(page);
    }
  }

  /** @param {number} offset @param {number} limit @param {number | null} set */
  ask(offset, limit, set) {
    // More of an order has the columns that the first part has; a new one may have others, if the daemon chooses them.
    const columns = set === null ? this.query.columns : (this.columns.value ?? undefined);
    return api.table(partOf({ ...this.query, columns }, offset, limit, set), this.stop.signal);
  }

  /** Asks anew for what is in view. */
  async refresh() {
    const [from, until] = this.seen ?? [0, PAGE];
    const first = Math.floor(from / PAGE);
    const count = Math.max(1, Math.floor((until - 1) / PAGE) - first + 1);
    const generation = ++this.generation;
    this.refreshing += 1;
    try {
      const answer = await this.ask(first * PAGE, count * PAGE, null);
      if (generation !== this.generation) return;
      batch(() => {
        this.columns.value = unlessNew(this.columns.value, answer.columns);
        const rows = this.unchanged(answer.rows);
        this.pages.clear();
        this.asked.clear();
        for (let page = 0; page * PAGE < rows.length; page++) {
          this.pages.set(first + page, rows.slice(page * PAGE, (page + 1) * PAGE));
        }
        this.set = answer.set;
        this.total.value = answer.total;
        this.error.value = null;
        this.version.value += 1;
      });
    } catch (error) {
      this.failed(error);
    } finally {
      this.refreshing -= 1;
    }
  }

  /** Rows, of which those that say what they said before are the same as before: they are not drawn again. @param {import("./api.js").Row[]} rows */
  unchanged(rows) {
    const before = new Map([...this.pages.values()].flat().map((row) => [row.id, row]));
    return rows.map((row) => unlessNew(before.get(row.id) ?? row, row));
  }

  /** @param {unknown} error */
  failed(error) {
    if (error instanceof ApiError) this.error.value = error;
    else if (!(error instanceof DOMException)) throw error;
  }

  /** @param {number} near */
  forget(near) {
    if (this.pages.size <= MAX_PAGES) return;
    const far = [...this.pages.keys()].sort((a, b) => Math.abs(b - near) - Math.abs(a - near));
    for (const page of far.slice(0, this.pages.size - MAX_PAGES)) this.pages.delete(page);
  }

  close() {
    this.stop.abort();
  }
}
