/** Any number of entries, as they come: in one request of lines where the runtime can, else in batches. */

import { deliver, type Outcome } from "./deliver.js";
import { BATCH_FRAME_BYTES, type Entry, type Prepared, prepare } from "./entry.js";
import type { components } from "./openapi.js";
import type { Checked } from "./options.js";
import { GRACE_MS, type Transport } from "./transport.js";

/**
 * What became of a stream. errors: of the first ERRORS_MAX entries that failed. stopped: why it was not read to its
 * end, empty if it was; the counts then hold for the first lines_read entries.
 */
export type StreamResult = components["schemas"]["StreamResult"];

export type Entries = AsyncIterable<Entry> | Iterable<Entry>;

export const ERRORS_MAX = 100;
const encoder = new TextEncoder();

/**
 * One request, a line for each entry; it takes from ``entries`` as fast as the bridge reads. Throws what
 * ``entries`` throws, too: what came before it may have been written.
 */
export async function streamLines(
  transport: Transport,
  options: Checked,
  entries: Entries,
): Promise<unknown> {
  const late = new AbortController();
  const source = each(entries);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let broken: { readonly reason: unknown } | undefined;
  const lines = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await source.next().catch((reason: unknown) => {
        broken = { reason };
        throw reason;
      });
      if (next.done) {
        controller.close();
        timer = setTimeout(() => late.abort(), options.timeoutMs + GRACE_MS);
        return;
      }
      const { message, ...fields } = next.value;
      controller.enqueue(encoder.encode(`${prepare(message, fields, options.serviceName).json}\n`));
    },
  });
  try {
    return await transport.stream("/stream", lines, late.signal);
  } catch (error) {
    throw broken ? broken.reason : error;
  } finally {
    clearTimeout(timer);
    // Not awaited: a source that is busy would close later, or never.
    source.return(undefined).catch(() => {});
  }
}

/**
 * Batches one after the other, of which one is held at a time. It stops at the first that cannot be delivered, and
 * throws what that failed with if nothing was accepted.
 */
export async function streamBatches(
  transport: Transport,
  options: Checked,
  entries: Entries,
): Promise<StreamResult> {
  const result: StreamResult = { ...NOTHING, errors: [] };
  for await (const batch of batches(options, entries)) {
    const patience = { untilMs: performance.now() + options.retryMs, holding: true };
    const outcomes = await deliver(transport, batch, patience);
    let accepted = false;
    let last: Outcome | undefined;
    for (const entry of batch) {
      last = outcomes.get(entry);
      accepted ||= last?.kind === "accepted";
      count(result, entry, last);
    }
    if (accepted || last?.kind !== "gave up") continue;
    if (result.success_count === 0 && last.error) throw last.error;
    result.stopped = last.detail;
    break;
  }
  return result;
}

const NOTHING = {
  total_count: 0,
  success_count: 0,
  error_count: 0,
  errors_truncated: false,
  lines_read: 0,
  stopped: "",
};

/** Entries in batches of the size that the options allow. */
export async function* batches(options: Checked, entries: Entries): AsyncGenerator<Prepared[]> {
  let batch: Prepared[] = [];
  let bytes = BATCH_FRAME_BYTES;
  for await (const { message, ...fields } of entries) {
    const entry = prepare(message, fields, options.serviceName);
    const full = batch.length >= options.batchEntriesMax || bytes + entry.bytes + 1 > options.batchBytesMax;
    if (full && batch.length > 0) {
      yield batch;
      batch = [];
      bytes = BATCH_FRAME_BYTES;
    }
    batch.push(entry);
    bytes += entry.bytes + 1;
  }
  if (batch.length > 0) yield batch;
}

async function* each(entries: Entries): AsyncGenerator<Entry, undefined> {
  yield* entries;
  return undefined;
}

function count(result: StreamResult, entry: Prepared, outcome: Outcome | undefined): void {
  result.total_count += 1;
  result.lines_read += 1;
  if (outcome?.kind === "accepted") {
    result.success_count += 1;
    return;
  }
  result.error_count += 1;
  result.errors_truncated = result.error_count > ERRORS_MAX;
  const error_message = outcome?.detail ?? "";
  if (!result.errors_truncated)
    result.errors.push({ line: result.total_count, log_id: entry.id, error_message });
}
