// The text of a request: its body as JSON, and the curl command that sends the same.

// What one argument of a command may hold on Linux is 128 KiB.
const ARGUMENT_BYTES_MAX = 128 * 1024 - 1;
const INTEGER = /^[+-]?\d{1,4000}$/;

// One word of a POSIX shell, whatever is in it.
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// headers: {name: value}. A body that is too long for a command is to be read from a file.
export function curl(url, headers, body) {
  const fits = new TextEncoder().encode(quoted(body)).length <= ARGUMENT_BYTES_MAX;
  const lines = [
    `curl -sS -X POST ${quoted(url)}`,
    ...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    fits ? `--data-raw ${quoted(body)}` : "--data-binary @body.json",
  ];
  return lines.join(" \\\n  ");
}

// JSON of a number that somebody typed, to the last digit; what is no integer goes as text, and the bridge says so.
export function integer(text) {
  return INTEGER.test(text) ? String(BigInt(text)) : JSON.stringify(text);
}

// Why a text is no JSON of that kind ("object", "array"), or "".
export function wrongJson(text, kind, words) {
  try {
    const value = JSON.parse(text);
    const is = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
    return is === kind ? "" : words[kind];
  } catch (error) {
    return `${words.json} ${error.message}`;
  }
}

// An object of members whose values are JSON already: [["adv_id", "1"], …].
export function object(members) {
  return `{${members.map(([name, json]) => `${JSON.stringify(name)}: ${json}`).join(", ")}}`;
}
