/**
 * What is thrown.
 *
 *     LogBridgeError
 *     ├── InvalidOption        an option makes no sense
 *     ├── Unreachable          no answer: the connection failed, or none came in time
 *     └── ProblemError         an answer that says no, with its status
 *         ├── BadRequest       400   ├── TooLarge     413   ├── NotSupported  501
 *         ├── Unauthorized     401   ├── InvalidEntry 422   ├── Refused       502
 *         ├── Forbidden        403   ├── RateExceeded 429   ├── Unavailable   503
 *         └── Conflict         409                          └── OutcomeUnknown 504
 */

import type { components } from "./openapi.js";

export type BatchResult = components["schemas"]["BatchResult"];

export class LogBridgeError extends Error {
  override name = this.constructor.name;
}

/** The name of the option, its value, and what is allowed. */
export class InvalidOption extends LogBridgeError {}

/** The request may have been carried out or not. */
export class Unreachable extends LogBridgeError {}

/** What an answer said: its status, and its problem (RFC 9457) where it has one. */
export interface Said {
  readonly status: number;
  readonly detail: string;
  /** What Retry-After asks for; undefined where it asks for nothing. */
  readonly retryAfterMs: number | undefined;
  /** To look for it in the log of the bridge; of 5xx. */
  readonly requestId: string | undefined;
  /** False: no problem+json, so something between here and the bridge answered. */
  readonly isProblem: boolean;
  /** The JSON of the answer, undefined where it is none. */
  readonly body: unknown;
}

export class ProblemError extends LogBridgeError implements Said {
  readonly status: number;
  readonly detail: string;
  readonly retryAfterMs: number | undefined;
  readonly requestId: string | undefined;
  readonly isProblem: boolean;
  readonly body: unknown;

  constructor(said: Said) {
    super(`${said.status}: ${said.detail}`);
    this.status = said.status;
    this.detail = said.detail;
    this.retryAfterMs = said.retryAfterMs;
    this.requestId = said.requestId;
    this.isProblem = said.isProblem;
    this.body = said.body;
  }
}

export class BadRequest extends ProblemError {}
export class Unauthorized extends ProblemError {}
export class Forbidden extends ProblemError {}
export class Conflict extends ProblemError {}
export class TooLarge extends ProblemError {}
export class InvalidEntry extends ProblemError {}
export class RateExceeded extends ProblemError {}
export class NotSupported extends ProblemError {}
export class Refused extends ProblemError {}
export class Unavailable extends ProblemError {}
export class OutcomeUnknown extends ProblemError {}

const CLASS_OF_STATUS: Readonly<Record<number, typeof ProblemError>> = {
  400: BadRequest,
  401: Unauthorized,
  403: Forbidden,
  409: Conflict,
  413: TooLarge,
  422: InvalidEntry,
  429: RateExceeded,
  501: NotSupported,
  502: Refused,
  503: Unavailable,
  504: OutcomeUnknown,
};

/** The error of an answer. */
export function problemError(said: Said): ProblemError {
  return new (CLASS_OF_STATUS[said.status] ?? ProblemError)(said);
}
