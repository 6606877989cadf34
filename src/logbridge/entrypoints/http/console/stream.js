// Server-sent events as raw text. EventSource would make an object of each and hide why the bridge refuses; here a
// frame is parsed only if it is going to be shown.

import { Problem, reach } from "./api.js";

const WAITS_MS = [500, 1000, 2000, 5000, 10000];
// How long the page may stand still for what has come.
const TURN_MS = 8;
// What it makes no sense to ask again.
const FINAL = new Set([400, 401, 403, 404, 422, 501]);

// Follows an address until stopped. onFrame: called with the data of each event, as JSON text. onState: called with
// "connecting", "following", "reconnecting" or "lost" and, where there is one, the Problem.
export function follow(url, { onFrame, onState }) {
  const stop = new AbortController();
  run(url, stop.signal, onFrame, onState);
  return () => stop.abort();
}

async function run(url, signal, onFrame, onState) {
  const place = { id: "" };
  let failures = 0;
  onState("connecting");
  while (!signal.aborted) {
    let problem = null;
    try {
      await once(url, signal, place, onFrame, () => {
        failures = 0;
        onState("following");
      });
    } catch (error) {
      if (signal.aborted) return;
      problem = error instanceof Problem ? error : new Problem(0, error.message);
    }
    if (signal.aborted) return;
    if (FINAL.has(problem?.status)) {
      onState("lost", problem);
      return;
    }
    onState("reconnecting", problem);
    await pause(WAITS_MS[Math.min(failures++, WAITS_MS.length - 1)], signal);
  }
}

async function once(url, signal, place, onFrame, opened) {
  const headers = { accept: "text/event-stream", ...(place.id && { "last-event-id": place.id }) };
  const answer = await reach(url, { headers, signal });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Problem(answer.status, problem.detail || `HTTP ${answer.status}`);
  }
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let turn = performance.now();
  for (;;) {
    const { value, done } = await reader.read();
    if (done || signal.aborted) return;
    rest = frames(rest + value, place, onFrame);
    if (performance.now() - turn > TURN_MS) {
      await new Promise((resume) => setTimeout(resume));
      turn = performance.now();
    }
  }
}

// Takes the whole frames off a text; gives what is left of it.
export function frames(text, place, onFrame) {
  let start = 0;
  for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n", start)) {
    if (text.startsWith("id: ", start)) place.id = text.slice(start + 4, text.indexOf("\n", start)).trim();
    // After the line with the id, or at once.
    const line = text.startsWith("data: ", start) ? start : text.indexOf("\ndata: ", start) + 1;
    if (line >= start && line < end && text.startsWith("data: ", line)) onFrame(text.slice(line + 6, end));
    start = end + 2;
  }
  return text.slice(start);
}

function pause(ms, signal) {
  return new Promise((resume) => {
    const timer = setTimeout(resume, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resume(); }, { once: true });
  });
}
