// Talking to the bridge this page came from. Addresses are relative, so that a path prefix of a proxy is kept.

export const base = new URL(document.body.dataset.api + "/", document.baseURI);

// Why a request failed, in the bridge's own words. status: 0 where nobody answered. body: all of its answer.
export class Problem extends Error {
  constructor(status, detail, body = {}) {
    super(detail);
    this.status = status;
    this.body = body;
  }
}

export function address(name, parameters = {}) {
  const url = new URL(name, base);
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(key, value);
  }
  return url;
}

// JSON of the answer; raises Problem.
export async function ask(url, options = {}) {
  const answer = await reach(url, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, body.detail || body.error_message || `HTTP ${answer.status}`, body);
  return body;
}

export async function reach(url, options = {}) {
  try {
    return await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, String(error.message || error));
  }
}

export function send(name, body, options = {}) {
  return ask(address(name), {
    method: "POST",
    headers: { "content-type": "application/json", ...options.headers },
    body: JSON.stringify(body),
    signal: options.signal,
  });
}

// Server-sent events of an answer to POST, which EventSource cannot ask for: gives {event, data} one by one.
// A plain JSON answer is one event "result". headers: besides the usual ones.
export async function* posted(name, body, { signal, headers = {} } = {}) {
  const answer = await reach(address(name), {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream", ...headers },
    body: JSON.stringify(body),
    signal,
  });
  if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) {
    const plain = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Problem(answer.status, plain.detail || `HTTP ${answer.status}`, plain);
    yield { event: "result", data: plain };
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const frames = rest.split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const event = frame.match(/^event: (.*)$/m)?.[1] || "message";
      const data = frame.match(/^data: (.*)$/m)?.[1];
      if (data) yield { event, data: JSON.parse(data) };
    }
  }
}

// The statistics, each second, to all who listen. Where nobody answers it is tried again, and they hear that, too.
export function watchStats(onStats, onLost) {
  const source = new EventSource(address("stats", { history: 300 }), { withCredentials: true });
  source.onmessage = (event) => onStats(JSON.parse(event.data));
  source.onerror = () => onLost(source.readyState === EventSource.CLOSED);
  return () => source.close();
}
