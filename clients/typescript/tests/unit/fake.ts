/** A fetch that answers from a script, for rules that no real bridge can be brought to break. */

export type Step = (body: { log_entries: { message: string }[] }) => Response | Error;

export interface Fake {
  readonly fetch: typeof fetch;
  /** The messages of each request so far. */
  readonly requests: string[][];
  readonly inits: RequestInit[];
}

/** Answers the steps in order, and accepts everything after them. */
export function fake(...steps: Step[]): Fake {
  const requests: string[][] = [];
  const inits: RequestInit[] = [];
  const answer = async (_url: unknown, init: RequestInit = {}): Promise<Response> => {
    inits.push(init);
    const body = JSON.parse(String(init.body));
    requests.push(body.log_entries.map((entry: { message: string }) => entry.message));
    const reply = (steps.shift() ?? accept)(body);
    if (reply instanceof Error) throw reply;
    return reply;
  };
  return { fetch: answer as typeof fetch, requests, inits };
}

export const accept: Step = (body) =>
  verdicts(
    200,
    body.log_entries.map(() => ""),
  );

/** An answer with an error for each entry, empty where it is accepted. */
export function verdicts(status: number, errors: string[]): Response {
  const results = errors.map((error_message) => ({
    success: error_message === "",
    log_id: "x",
    error_message,
  }));
  return Response.json({ results, detail: "as the results say" }, { status, headers: problem(status) });
}

export function refusal(status: number, detail: string): Response {
  return Response.json({ status, detail }, { status, headers: problem(status) });
}

function problem(status: number): Record<string, string> {
  return { "content-type": status >= 400 ? "application/problem+json" : "application/json" };
}
