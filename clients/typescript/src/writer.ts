/** Logs in the background: a bounded queue, from which batches go to the bridge. */

import { deliver, type Outcomes } from "./deliver.js";
import { BATCH_FRAME_BYTES, batchBody, type Fields, fitting, type Prepared, prepare } from "./entry.js";
import { reasonOf } from "./json.js";
import { keepaliveRoom } from "./keepalive.js";
import { type Holder, hold, inPage, release } from "./leaving.js";
import type { Checked, Drop, DropReason } from "./options.js";
import { unref } from "./retry.js";
import type { Transport } from "./transport.js";

/** For how long a browser surely remembers that a page may write: half of what the bridge says. */
const PERMISSION_MS = 300_000;

/** Entries so far. queued: wait or are under way. refused: by the bridge or the log service. dropped: all others lost. */
export interface Counts {
  readonly queued: number;
  readonly sent: number;
  readonly refused: number;
  readonly dropped: number;
}

/**
 * ``log`` returns at once and never throws. At most queueEntriesMax entries of queueBytesMax bytes are held; what
 * comes beyond is dropped, counted and reported. One request is under way at a time (and those of a page that
 * hides). Its timers keep no Node process alive; its requests do, and so does the end of a program that still has
 * entries, for at most flushMs.
 */
export class BatchingWriter implements Holder {
  readonly #transport: Transport;
  readonly #options: Checked;
  #stop = new AbortController();
  readonly #held = new Set<Prepared>();
  #waiting: Prepared[] = [];
  #heldBytes = 0;
  #underWay: readonly Prepared[] = [];
  #linger: ReturnType<typeof setTimeout> | undefined;
  #draining = false;
  #leaving = false;
  #closed = false;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #onSettled = new Set<() => void>();
  #sent = 0;
  #refused = 0;
  #dropped = 0;
  #toldAt = 1;

  constructor(transport: Transport, options: Checked) {
    this.#transport = transport;
    this.#options = options;
  }

  get counts(): Counts {
    return { queued: this.#held.size, sent: this.#sent, refused: this.#refused, dropped: this.#dropped };
  }

  /** Hand over a log. False: it was dropped, and onDrop has heard of it. */
  log(message: string, fields: Fields = {}): boolean {
    let entry: Prepared;
    try {
      entry = prepare(message, fields, this.#options.serviceName);
    } catch (error) {
      this.#drop("not readable", `a field threw when it was read: ${reasonOf(error)}`, [], 1);
      return false;
    }
    const { queueEntriesMax, queueBytesMax } = this.#options.batching;
    if (this.#closed) {
      this.#drop("closed", "logged after close()", [entry]);
      return false;
    }
    if (this.#held.size >= queueEntriesMax || this.#heldBytes + entry.bytes > queueBytesMax) {
      const limits = `queueEntriesMax=${queueEntriesMax}, queueBytesMax=${queueBytesMax}`;
      this.#drop("queue full", `the queue is full (${limits}): the bridge is away or slower than the logs`, [
        entry,
      ]);
      return false;
    }
    this.#take(entry);
    return true;
  }

  /** True once everything that was handed over before is settled; false if that takes longer than timeoutMs. */
  async flush(timeoutMs: number = this.#options.batching.flushMs): Promise<boolean> {
    const before = [...this.#held];
    void this.#drain();
    return this.#settled(before, timeoutMs);
  }

  /** Flush, then drop what is left; ``log`` drops from now on. True: nothing was left. */
  async close(timeoutMs: number = this.#options.batching.flushMs): Promise<boolean> {
    this.#closed = true;
    const whole = await this.flush(timeoutMs);
    if (!whole) this.#abandon(`${timeoutMs} ms were not enough to deliver it`);
    return whole;
  }

  programEnds(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    void this.flush().then((whole) => {
      this.#leaving = false;
      if (!whole) this.#abandon("the program ended before it could be delivered");
    });
  }

  pageHides(closing: boolean): void {
    // The request under way ends with its page. Sent twice under its id, a log is stored once.
    if (closing) this.#repeat(this.#underWay);
    for (;;) {
      const batch = this.#next(keepaliveRoom());
      if (batch.length === 0) break;
      void this.#send(batch, true);
    }
    void this.#drain();
  }

  #take(entry: Prepared): void {
    if (this.#held.size === 0) hold(this);
    this.#held.add(entry);
    this.#heldBytes += entry.bytes;
    this.#waiting.push(entry);
    const { batchEntriesMax, batchBytesMax } = this.#options;
    if (this.#waiting.length >= batchEntriesMax || this.#heldBytes >= batchBytesMax) void this.#drain();
    else if (this.#linger === undefined && !this.#draining) {
      this.#linger = setTimeout(() => void this.#drain(), this.#lingerMs());
      unref(this.#linger);
    }
  }

  /**
   * A page asks before it may write to another origin (a CORS preflight), and one that closes gets no answer any
   * more: its first log asks in time, and so does the first after a silence.
   */
  #lingerMs(): number {
    const asks = inPage && performance.now() - this.#answeredAt > PERMISSION_MS;
    return asks ? 0 : this.#options.batching.lingerMs;
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#linger);
    this.#linger = undefined;
    if (this.#draining) return;
    this.#draining = true;
    for (;;) {
      const batch = this.#next();
      if (batch.length === 0) break;
      this.#underWay = batch;
      await this.#send(batch, false);
    }
    this.#underWay = [];
    this.#draining = false;
  }

  /** Takes the next batch from what waits; with a bound, only entries that fit into it. */
  #next(bound?: number): Prepared[] {
    const { batchEntriesMax, batchBytesMax } = this.#options;
    const count = fitting(this.#waiting, batchEntriesMax, Math.min(batchBytesMax, bound ?? batchBytesMax));
    const batch = this.#waiting.slice(0, count);
    if (bound !== undefined && batchBytes(batch) > bound) return [];
    this.#waiting = this.#waiting.slice(count);
    return batch;
  }

  async #send(batch: readonly Prepared[], keepalive: boolean): Promise<void> {
    const untilMs = performance.now() + this.#options.batching.retryMs;
    const stop = this.#stop.signal;
    const patience = { untilMs, holding: false, stop };
    try {
      this.#settle(batch, await deliver(this.#transport, batch, patience, { keepalive, stop }));
      this.#answeredAt = performance.now();
    } catch (error) {
      this.#lose(batch, "gave up", `a fault of this client: ${reasonOf(error)}`);
    }
  }

  #repeat(batch: readonly Prepared[]): void {
    if (batch.length === 0 || batchBytes(batch) > keepaliveRoom()) return;
    // The first request tells what became of it.
    this.#transport.post("/batch", batchBody(batch), { keepalive: true }).catch(() => {});
  }

  #settle(batch: readonly Prepared[], outcomes: Outcomes): void {
    const lost = new Map<string, { reason: DropReason; detail: string; entries: Prepared[] }>();
    for (const entry of batch) {
      const outcome = outcomes.get(entry);
      if (!this.#held.has(entry) || !outcome) continue; // dropped meanwhile, by close()
      if (outcome.kind === "accepted") {
        this.#forget(entry);
        this.#sent += 1;
        continue;
      }
      const same = lost.get(outcome.detail) ?? { reason: outcome.kind, detail: outcome.detail, entries: [] };
      same.entries.push(entry);
      lost.set(outcome.detail, same);
    }
    for (const { reason, detail, entries } of lost.values()) this.#lose(entries, reason, detail);
    this.#tellSettled();
  }

  #abandon(detail: string): void {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#waiting = [];
    this.#lose([...this.#held], "closed", detail);
  }

  #lose(entries: readonly Prepared[], reason: DropReason, detail: string): void {
    const held = entries.filter((entry) => this.#held.has(entry));
    for (const entry of held) this.#forget(entry);
    if (held.length > 0) this.#drop(reason, detail, held);
    this.#tellSettled();
  }

  #forget(entry: Prepared): void {
    this.#held.delete(entry);
    this.#heldBytes -= entry.bytes;
    if (this.#held.size === 0) release(this);
  }

  #drop(reason: DropReason, detail: string, entries: readonly Prepared[], count = entries.length): void {
    if (reason === "refused") this.#refused += count;
    else this.#dropped += count;
    const drop: Drop = { reason, detail, entries: entries.map((entry) => entry.json) };
    const { onDrop } = this.#options.batching;
    try {
      if (onDrop) onDrop(drop);
      else this.#warn(drop);
    } catch {
      // A callback that throws is no reason to stop logging, nor to throw into the program that logs.
    }
  }

  #warn({ reason, detail }: Drop): void {
    const lost = this.#refused + this.#dropped;
    if (lost < this.#toldAt) return;
    this.#toldAt = 2 * lost;
    console.warn(`logbridge-client: ${lost} logs lost so far; ${reason}: ${detail}`);
  }

  #settled(entries: readonly Prepared[], timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      // Not unref'd: who waits for a flush wants the process to live for it.
      const timer = setTimeout(() => end(false), timeoutMs);
      const look = () => entries.some((entry) => this.#held.has(entry)) || end(true);
      const end = (whole: boolean) => {
        clearTimeout(timer);
        this.#onSettled.delete(look);
        resolve(whole);
      };
      this.#onSettled.add(look);
      look();
    });
  }

  #tellSettled(): void {
    for (const look of [...this.#onSettled]) look();
  }
}

function batchBytes(batch: readonly Prepared[]): number {
  return batch.reduce((sum, entry) => sum + entry.bytes + 1, BATCH_FRAME_BYTES);
}
