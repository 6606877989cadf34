export { type Health, LogBridge, type WriteResult } from "./bridge.js";
export type { Entry, Fields, Level } from "./entry.js";
export {
  BadRequest,
  type BatchResult,
  Conflict,
  Forbidden,
  InvalidEntry,
  InvalidOption,
  LogBridgeError,
  NotSupported,
  OutcomeUnknown,
  ProblemError,
  RateExceeded,
  Refused,
  TooLarge,
  Unauthorized,
  Unavailable,
  Unreachable,
} from "./errors.js";
export type { BatchingOptions, Drop, DropReason, Options } from "./options.js";
export type { Filters, QueryResult } from "./query.js";
export type { Entries, StreamResult } from "./stream.js";
export type { Counts } from "./writer.js";
