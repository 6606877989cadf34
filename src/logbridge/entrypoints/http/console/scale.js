// Where the marks of an axis stand. Numbers in, numbers out.

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE,
  15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY,
  180 * DAY, 365 * DAY, 730 * DAY, 1825 * DAY, 3650 * DAY, 36500 * DAY,
];

// Counts: 0, a round number, its multiples, up to the first one that is not below most.
export function countTicks(most, wanted = 3) {
  if (most <= 0) return [0, 1];
  const rough = Math.max(1, most / wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const ticks = [0];
  while (ticks.at(-1) < most) ticks.push(ticks.length * step);
  return ticks;
}

// Round times of the local clock between two, in milliseconds; at most so many. step: in seconds.
export function timeTicks(fromMs, toMs, wanted) {
  const rough = (toMs - fromMs) / 1000 / Math.max(1, wanted);
  const step = STEPS.find((seconds) => seconds >= rough) || STEPS.at(-1);
  const zoneMs = new Date(fromMs).getTimezoneOffset() * 60000;
  const stepMs = step * 1000;
  const ticks = [];
  let at = Math.ceil((fromMs - zoneMs) / stepMs) * stepMs + zoneMs;
  for (; at <= toMs && ticks.length <= wanted; at += stepMs) ticks.push(at);
  return { ticks, step };
}

// What is written at a mark: no more of the time than the step needs.
export function tickLabel(ms, step) {
  const date = new Date(ms);
  const two = (value) => String(value).padStart(2, "0");
  if (step >= 90 * DAY) return `${date.getFullYear()}-${two(date.getMonth() + 1)}`;
  if (step >= DAY) return `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (step >= MINUTE) return clock === "00:00" ? `${two(date.getMonth() + 1)}-${two(date.getDate())}` : clock;
  const seconds = `${clock}:${two(date.getSeconds())}`;
  return step >= 1 ? seconds : `${seconds}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
