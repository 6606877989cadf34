/** JSON text of any value: never fails, and keeps what `JSON.stringify` would lose. */

/** The bridge's LOGBRIDGE_METADATA_DEPTH_MAX is 64 levels below a field. */
export const DEPTH_MAX = 60;

/**
 * The JSON text of a value, `undefined` where it has none (functions, symbols, undefined).
 *
 * A bigint, and a number that is whole, becomes an integer with all its digits; NaN and the infinities become
 * strings; an Error its stack; a Map an object, a Set an array. A value that holds itself, is nested over
 * DEPTH_MAX, or throws when it is read is replaced by a text that says so. Half of a surrogate pair is no text
 * (the bridge answers 400 for the whole body): it becomes U+FFFD.
 */
export function toJson(value: unknown): string | undefined {
  return written(value, []);
}

/** The text with U+FFFD in place of each half of a surrogate pair. */
export function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

function written(value: unknown, around: readonly object[]): string | undefined {
  switch (typeof value) {
    case "string":
      return quoted(value);
    case "number":
      return numeral(value);
    case "bigint":
      return value.toString();
    case "boolean":
      return String(value);
    case "object":
      return value === null ? "null" : structure(value, around);
    default:
      return undefined;
  }
}

function quoted(text: string): string {
  return JSON.stringify(wellFormed(text));
}

function numeral(value: number): string {
  if (!Number.isFinite(value)) return quoted(String(value));
  // JSON.stringify writes 1e21 and more with an exponent, which the bridge reads as no integer.
  return Number.isInteger(value) ? BigInt(value).toString() : JSON.stringify(value);
}

function structure(value: object, around: readonly object[]): string | undefined {
  if (around.includes(value)) return quoted("[circular]");
  if (around.length >= DEPTH_MAX) return quoted("[nested too deeply]");
  const inside = [...around, value];
  try {
    if (value instanceof Error) return quoted(value.stack ?? String(value));
    if (hasToJson(value)) return written(value.toJSON(), inside);
    if (value instanceof Map) return members(value, inside);
    if (Array.isArray(value) || value instanceof Set) return elements(value, inside);
    return members(Object.entries(value), inside);
  } catch (error) {
    return quoted(`[not readable: ${reasonOf(error)}]`);
  }
}

function hasToJson(value: object): value is { toJSON(): unknown } {
  return "toJSON" in value && typeof value.toJSON === "function";
}

function elements(values: Iterable<unknown>, around: readonly object[]): string {
  return `[${Array.from(values, (each) => written(each, around) ?? "null").join(",")}]`;
}

function members(pairs: Iterable<[unknown, unknown]>, around: readonly object[]): string {
  const parts: string[] = [];
  for (const [name, value] of pairs) {
    const text = written(value, around);
    if (text !== undefined) parts.push(`${quoted(String(name))}:${text}`);
  }
  return `{${parts.join(",")}}`;
}

/** What an error says, also where it is none. */
export function reasonOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return "an error without words";
  }
}
