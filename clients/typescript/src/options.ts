/** What can be set, with defaults; an option that makes no sense is refused at once. */

import { InvalidOption } from "./errors.js";

/** Limits of the queue behind ``log``. */
export interface BatchingOptions {
  /** The most entries that wait or are under way. */
  queueEntriesMax?: number;
  /** The most bytes of these. */
  queueBytesMax?: number;
  /** How long the first entry of a batch waits for others. */
  lingerMs?: number;
  /** For how long a batch is tried again; then it is dropped. */
  retryMs?: number;
  /** How long ``flush``, ``close`` and the end of a Node program wait, where they are not told. */
  flushMs?: number;
  /** Hears of each drop. Without it console.warn tells of the first, the second, the fourth, … */
  onDrop?: (drop: Drop) => void;
}

/** Entries that are lost to the bridge; entries: the JSON of each, ready to be kept elsewhere. */
export interface Drop {
  readonly reason: DropReason;
  readonly detail: string;
  readonly entries: readonly string[];
}

/**
 * queue full: over queueEntriesMax or queueBytesMax. refused: sending again is no use. gave up: retryMs are over.
 * closed: logged after ``close``, or left when its time was over. not readable: a field threw when it was read.
 */
export type DropReason = "queue full" | "refused" | "gave up" | "closed" | "not readable";

export interface Options {
  /** A key made by `logbridge key create`. */
  key?: string;
  /** service_name of an entry that names none; without it the bridge's own. */
  serviceName?: string;
  /** The base path of the API: LOGBRIDGE_API_PREFIX of the bridge. */
  prefix?: string;
  /** How long the bridge may take for one attempt. */
  timeoutMs?: number;
  /** For how long a call is tried again; 0: never. */
  retryMs?: number;
  /** The most entries of one request: MAX_BATCH_SIZE of the bridge, or less. */
  batchEntriesMax?: number;
  /** The most bytes of one request before compression, unless a single entry has more. */
  batchBytesMax?: number;
  /** Whether bodies of 1 KiB and more are compressed. */
  gzip?: boolean;
  /** Asks for the 202 of a bridge with a spool (Prefer: respond-async). */
  durable?: boolean;
  /** In place of the runtime's own fetch. */
  fetch?: typeof fetch;
  batching?: BatchingOptions;
}

type Limits = Required<Omit<BatchingOptions, "onDrop">>;
export type Checked = Required<Omit<Options, "key" | "serviceName" | "fetch" | "batching">> & {
  readonly url: URL;
  readonly key: string | undefined;
  readonly serviceName: string | undefined;
  readonly fetch: typeof fetch | undefined;
  readonly batching: Limits & { readonly onDrop: ((drop: Drop) => void) | undefined };
};

export const DEFAULTS = {
  prefix: "/api/v1/logs",
  timeoutMs: 10_000,
  retryMs: 10_000,
  batchEntriesMax: 500,
  batchBytesMax: 1_048_576,
  gzip: true,
  durable: false,
} as const;

export const BATCHING_DEFAULTS = {
  queueEntriesMax: 10_000,
  queueBytesMax: 8_388_608,
  lingerMs: 200,
  retryMs: 300_000,
  flushMs: 10_000,
} as const;

/** Longer, and setTimeout would overflow and fire at once. */
const MS_MAX = 2_147_483_647;
/** LOGBRIDGE's Request-Timeout goes up to an hour. */
const TIMEOUT_MS_MAX = 3_600_000;

/** The options with defaults. Throws InvalidOption. */
export function checked(url: string | URL, options: Options): Checked {
  const { key, serviceName, fetch, batching = {}, ...given } = options;
  const { onDrop, ...limits } = batching;
  const all: Checked = {
    ...DEFAULTS,
    ...defined(given),
    url: checkedUrl(url),
    key,
    serviceName,
    fetch,
    batching: { ...BATCHING_DEFAULTS, ...defined(limits), onDrop },
  };
  inRange("timeoutMs", all.timeoutMs, 1, TIMEOUT_MS_MAX);
  inRange("retryMs", all.retryMs, 0, MS_MAX);
  inRange("batchEntriesMax", all.batchEntriesMax, 1, Number.MAX_SAFE_INTEGER);
  inRange("batchBytesMax", all.batchBytesMax, 1, Number.MAX_SAFE_INTEGER);
  inRange("batching.queueEntriesMax", all.batching.queueEntriesMax, 1, Number.MAX_SAFE_INTEGER);
  inRange("batching.queueBytesMax", all.batching.queueBytesMax, 1, Number.MAX_SAFE_INTEGER);
  inRange("batching.lingerMs", all.batching.lingerMs, 0, MS_MAX);
  inRange("batching.retryMs", all.batching.retryMs, 0, MS_MAX);
  inRange("batching.flushMs", all.batching.flushMs, 0, MS_MAX);
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    throw new InvalidOption("key: expected one or more visible ASCII characters"); // its value is a secret
  }
  if (!/^\/\S*[^/\s]$|^$/.test(all.prefix)) {
    throw new InvalidOption(
      `prefix: expected a path such as /api/v1/logs, got ${JSON.stringify(all.prefix)}`,
    );
  }
  return all;
}

function defined<T extends object>(given: T): Partial<T> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function inRange(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new InvalidOption(`${name}: expected an integer from ${least} to ${most}, got ${String(value)}`);
  }
}

function checkedUrl(given: string | URL): URL {
  const allowed = "url: expected http(s)://host[:port][/path] without user, query or fragment";
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw new InvalidOption(allowed);
  }
  if (!/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new InvalidOption(allowed);
  }
  return url;
}
