/** From what a caller gives to the JSON of one entry. */

import { newId } from "./ids.js";
import { toJson } from "./json.js";
import type { components } from "./openapi.js";

type Named = components["schemas"]["WriteRequest"];
type Integer = number | bigint | null;

/**
 * What may stand beside the message: the names of docs/rest.md, and any other, which goes into metadata.
 *
 * An integer over 2^53 is given as a bigint; as a number it has lost digits before it comes here.
 */
export interface Fields {
  service_name?: string | null;
  level?: Level | null;
  trace_id?: string | null;
  span_id?: string | null;
  adv_id?: Integer;
  aweme_id?: Integer;
  plan_id?: Integer;
  co_id?: Integer;
  monitor_type?: string | null;
  metadata?: Record<string, unknown> | null;
  /** Without it the time of the call. */
  timestamp?: Date | string | null;
  /** Without it a new one; unique for its service: the same log sent twice is stored once. */
  log_id?: string | null;
  [name: string]: unknown;
}

export type Level = "DEBUG" | "INFO" | "WARN" | "ERROR" | "FATAL" | (string & {});

/** One log of a batch or a stream. */
export interface Entry extends Fields {
  message: string;
}

/** An entry that is ready to go, again and again: its id and its time are set. bytes: of json in UTF-8. */
export interface Prepared {
  readonly id: string;
  readonly json: string;
  readonly bytes: number;
}

const encoder = new TextEncoder();

/** The entry of a message and its fields. serviceName: of an entry that names none. */
export function prepare(message: string, fields: Fields, serviceName: string | undefined): Prepared {
  const id = fields.log_id ?? newId();
  const entry: Partial<Record<keyof Named, unknown>> = {
    ...fields,
    message,
    log_id: id,
    timestamp: fields.timestamp ?? new Date(),
    service_name: fields.service_name ?? serviceName,
  };
  const json = toJson(entry) ?? "{}";
  return { id, json, bytes: encoder.encode(json).length };
}

/** The body of a batch. */
export function batchBody(entries: readonly Prepared[]): string {
  return `${BATCH_HEAD}${entries.map((entry) => entry.json).join(",")}${BATCH_TAIL}`;
}

const BATCH_HEAD = '{"log_entries":[';
const BATCH_TAIL = "]}";
/** Bytes of a batch besides its entries and the commas between them. */
export const BATCH_FRAME_BYTES = BATCH_HEAD.length + BATCH_TAIL.length;

/** How many of the first entries fit into one batch; at least one, whatever its size. */
export function fitting(entries: readonly Prepared[], entriesMax: number, bytesMax: number): number {
  let bytes = BATCH_FRAME_BYTES;
  let count = 0;
  for (const entry of entries) {
    bytes += entry.bytes + 1;
    if (count >= entriesMax || (bytes > bytesMax && count > 0)) break;
    count += 1;
  }
  return count;
}
