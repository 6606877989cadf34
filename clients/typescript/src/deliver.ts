/** A batch goes to the bridge until each of its entries has an outcome. */

import { batchBody, type Prepared } from "./entry.js";
import { LogBridgeError, ProblemError } from "./errors.js";
import { mayPass, type Patience, persistently } from "./retry.js";
import { isObject, type Sending, type Transport } from "./transport.js";

/** What became of an entry. error: what the last answer, or the lack of one, threw. */
export type Outcome =
  | { readonly kind: "accepted" }
  | { readonly kind: "refused" | "gave up"; readonly detail: string; readonly error?: LogBridgeError };

export type Outcomes = ReadonlyMap<Prepared, Outcome>;

const TOO_MUCH: ReadonlySet<number> = new Set([400, 413, 422]);

/** What became of each entry. Never throws what a request throws. */
export async function deliver(
  transport: Transport,
  entries: readonly Prepared[],
  patience: Patience,
  sending: Sending = {},
): Promise<Outcomes> {
  const outcomes = new Map<Prepared, Outcome>();
  const waiting: (readonly Prepared[])[] = [entries];
  for (let batch = waiting.pop(); batch; batch = waiting.pop()) {
    const body = batchBody(batch);
    try {
      const answer = await persistently(patience, () => transport.post("/batch", body, sending));
      waiting.push(...acknowledged(batch, answer, outcomes));
    } catch (error) {
      if (!(error instanceof LogBridgeError)) throw error;
      waiting.push(...failed(batch, error, outcomes));
    }
  }
  return outcomes;
}

/** Notes what the answer accepts; gives what has to go again. */
function acknowledged(
  batch: readonly Prepared[],
  answer: unknown,
  outcomes: Map<Prepared, Outcome>,
): (readonly Prepared[])[] {
  const verdicts = verdictsOf(answer, batch.length);
  const again: Prepared[] = [];
  batch.forEach((entry, index) => {
    if (verdicts?.[index]?.success) outcomes.set(entry, { kind: "accepted" });
    else again.push(entry);
  });
  if (again.length === batch.length) {
    for (const entry of batch)
      outcomes.set(entry, { kind: "refused", detail: "the answer names no entry of it" });
    return [];
  }
  // A batch that was accepted in part does not say which failures would pass: on their own, they take a status
  // that does.
  return again.length > 0 ? [again] : [];
}

/** Notes what is refused or given up; gives what may go in smaller parts. */
function failed(
  batch: readonly Prepared[],
  error: LogBridgeError,
  outcomes: Map<Prepared, Outcome>,
): (readonly Prepared[])[] {
  const verdicts = error instanceof ProblemError ? verdictsOf(error.body, batch.length) : undefined;
  const kind = mayPass(error) ? "gave up" : "refused";
  const divisible = error instanceof ProblemError && TOO_MUCH.has(error.status) && !verdicts;
  if (divisible && batch.length > 1) {
    const middle = batch.length >> 1;
    return [batch.slice(middle), batch.slice(0, middle)];
  }
  batch.forEach((entry, index) => {
    outcomes.set(entry, { kind, detail: verdicts?.[index]?.error_message || error.message, error });
  });
  return [];
}

interface Verdict {
  readonly success: boolean;
  readonly error_message: string;
}

/** One for each entry of the batch, in its order; undefined where the answer has not so many. */
function verdictsOf(answer: unknown, count: number): readonly Verdict[] | undefined {
  const results = isObject(answer) ? answer.results : undefined;
  return Array.isArray(results) && results.length === count ? (results as Verdict[]) : undefined;
}
