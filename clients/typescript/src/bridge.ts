/** The client of one bridge. */

import { deliver, type Outcome } from "./deliver.js";
import { type Entry, type Fields, prepare } from "./entry.js";
import type { BatchResult } from "./errors.js";
import { node } from "./leaving.js";
import type { components } from "./openapi.js";
import { type Checked, checked, type Options } from "./options.js";
import { type Filters, offsetOf, type QueryResult, queryOf } from "./query.js";
import { persistently } from "./retry.js";
import { batches, type Entries, type StreamResult, streamBatches, streamLines } from "./stream.js";
import { isObject, Transport, worthy } from "./transport.js";
import { BatchingWriter, type Counts } from "./writer.js";

export type Health = components["schemas"]["Health"];
export type WriteResult = components["schemas"]["WriteResult"];

/**
 * ``log`` for most programs: in the background, and never in their way. The others wait for the answer, and throw
 * what errors.ts lists. Each entry gets an id and a time before it is first sent, so that trying again stores it
 * once, where the log service honours ids.
 */
export class LogBridge {
  readonly #options: Checked;
  readonly #transport: Transport;
  readonly #writer: BatchingWriter;

  /** url: of the bridge, such as http://127.0.0.1:8001. Throws InvalidOption. */
  constructor(url: string | URL, options: Options = {}) {
    this.#options = checked(url, options);
    this.#transport = new Transport(this.#options);
    this.#writer = new BatchingWriter(this.#transport, this.#options);
  }

  /** Hand over a log, in the background. False: it was dropped, and onDrop has heard of it. Never throws. */
  log(message: string, fields: Fields = {}): boolean {
    return this.#writer.log(message, fields);
  }

  /** True once everything that ``log`` took is settled; false if that takes longer than timeoutMs. */
  flush(timeoutMs?: number): Promise<boolean> {
    return this.#writer.flush(timeoutMs);
  }

  /** Flush, then drop what is left. True: nothing was left. */
  close(timeoutMs?: number): Promise<boolean> {
    return this.#writer.close(timeoutMs);
  }

  /** What became of the entries of ``log`` so far. */
  get counts(): Counts {
    return this.#writer.counts;
  }

  /** Write one log. Throws ProblemError or Unreachable. */
  async write(message: string, fields: Fields = {}): Promise<WriteResult> {
    const { json } = prepare(message, fields, this.#options.serviceName);
    const answer = await persistently(this.#patience(), () => this.#transport.post("/write", json));
    return answer as WriteResult;
  }

  /**
   * Write any number of logs, in as many requests as it takes. A result for each, in order; one that fails does so
   * alone. Throws what the last of them failed with, if none was accepted.
   */
  async writeBatch(entries: Iterable<Entry>): Promise<BatchResult> {
    const results: WriteResult[] = [];
    let last: Outcome | undefined;
    let patience = this.#patience();
    for await (const batch of batches(this.#options, entries)) {
      const outcomes = await deliver(this.#transport, batch, patience);
      for (const entry of batch) {
        last = outcomes.get(entry);
        results.push(resultOf(entry.id, last));
        // While it goes forward each batch has its time; once the bridge is away each has one attempt.
        if (last?.kind === "accepted") patience = this.#patience();
      }
    }
    const result = batchResult(results);
    if (result.success_count === 0 && last?.kind !== "accepted" && last?.error) throw last.error;
    return result;
  }

  /**
   * Write entries as they come; look at ``stopped`` of the result. In Node one request, which is not tried again; in browsers, which cannot stream
   * over HTTP/1.1, batches, which are.
   */
  async stream(entries: Entries): Promise<StreamResult> {
    if (!node?.versions?.node) return streamBatches(this.#transport, this.#options, entries);
    return (await streamLines(this.#transport, this.#options, entries)) as StreamResult;
  }

  /**
   * Pages of stored logs, newest first. Newer logs that come meanwhile move no page, where neither end_time nor offset
   * is given. Throws as ``write`` does.
   */
  async *query(filters: Filters = {}): AsyncGenerator<QueryResult, void> {
    const query = queryOf(filters);
    let offset = offsetOf(filters);
    for (;;) {
      query.set("offset", String(offset));
      const page = (await persistently(this.#patience(), async () =>
        worthy(await this.#transport.get(`/query?${query}`)),
      )) as QueryResult;
      const [newest] = page.logs;
      if (newest === undefined) return;
      if (offset === 0 && !query.has("end_time")) query.set("end_time", newest.timestamp);
      yield page;
      offset += page.logs.length;
      if (offset >= page.total_count) return;
    }
  }

  /** Whether the log service answers: also where it does not. Throws ProblemError or Unreachable. */
  async health(): Promise<Health> {
    const answer = await this.#transport.get("/health");
    if (isObject(answer.body) && answer.body.status === "unhealthy") return answer.body as Health;
    return worthy(answer) as Health;
  }

  #patience() {
    return { untilMs: performance.now() + this.#options.retryMs, holding: true };
  }
}

function resultOf(log_id: string, outcome: Outcome | undefined): WriteResult {
  if (outcome?.kind === "accepted") return { success: true, log_id, error_message: "" };
  return { success: false, log_id, error_message: outcome?.detail ?? "" };
}

function batchResult(results: WriteResult[]): BatchResult {
  const errors = results.flatMap((result, index) =>
    result.success ? [] : [`Entry ${index}: ${result.error_message}`],
  );
  return {
    total_count: results.length,
    success_count: results.length - errors.length,
    error_count: errors.length,
    errors,
    results,
  };
}
