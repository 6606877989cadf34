/** What can be asked of stored logs. */

import { InvalidOption } from "./errors.js";
import type { components } from "./openapi.js";

export type QueryResult = components["schemas"]["QueryResult"];

/** See GET query in docs/rest.md. */
export interface Filters {
  service_name?: string;
  level?: string;
  /** Included, as is end_time. */
  start_time?: Date | string;
  end_time?: Date | string;
  trace_id?: string;
  /** Text in the message, letter case ignored. */
  q?: string;
  metadata?: Readonly<Record<string, string>>;
  /** Logs of a page, 1 to 1000; without it 100. */
  limit?: number;
  /** How many of the newest to pass over. */
  offset?: number;
}

/** The query string of these filters, without the offset. */
export function queryOf(filters: Filters): URLSearchParams {
  const { metadata = {}, offset: _, ...named } = filters;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(named)) {
    if (value !== undefined) query.set(name, value instanceof Date ? value.toISOString() : String(value));
  }
  for (const [name, value] of Object.entries(metadata)) query.set(`metadata.${name}`, value);
  return query;
}

/** Where the first page begins. Throws InvalidOption. */
export function offsetOf({ offset = 0 }: Filters): number {
  if (Number.isInteger(offset) && offset >= 0) return offset;
  throw new InvalidOption(`offset: expected an integer from 0, got ${String(offset)}`);
}
