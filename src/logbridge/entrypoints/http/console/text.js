// Log text is hostile. What cannot be seen, or turns round the order of what can, is shown as a mark, so that no
// line can lie; and text is never markup.

import { h } from "./dom.js";

// One emoji may hold joiners and selectors that are invisible elsewhere.
const ONE = "\\p{Extended_Pictographic}(?:\\uFE0F|\\p{Emoji_Modifier})?";
const EMOJI = `(?:${ONE}(?:\\u200D${ONE})*|[0-9#*]\\uFE0F\\u20E3)`;
const HIDDEN = "[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]";
const PIECE = new RegExp(`(?<seen>${EMOJI})|(?<hidden>${HIDDEN})`, "gu");
// Of a longer text the marks are characters, not elements: a hostile one could ask for a hundred thousand.
const ELEMENTS_UP_TO = 20000;
const FOLDED = 280;
// What is in every stack trace has a softer mark.
const SPACING = { "\n": "↵", "\t": "⇥" };

// The name of a character that must be seen: ␛ for U+001B, U+202E for what has no picture.
export function mark(character) {
  const code = character.codePointAt(0);
  if (character in SPACING) return SPACING[character];
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

// The text with marks, as a string: for titles and labels.
export function plain(text) {
  return text.replace(PIECE, (piece, seen) => (seen ? piece : mark(piece)));
}

// The text with marks, as nodes. find: a regular expression of what is to be highlighted. lines: keep line breaks.
export function visible(text, { find = null, lines = false } = {}) {
  if (text.length > ELEMENTS_UP_TO) return [lines ? text.split("\n").map(plain).join("↵\n") : plain(text)];
  if (!find) return pieces(text, lines);
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(find)) {
    if (!match[0]) continue;
    nodes.push(...pieces(text.slice(at, match.index), lines), h("mark", {}, pieces(match[0], lines)));
    at = match.index + match[0].length;
  }
  return [...nodes, ...pieces(text.slice(at), lines)];
}

function pieces(text, lines) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(PIECE)) {
    const character = match.groups.hidden;
    if (!character) continue;
    const code = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    nodes.push(text.slice(at, match.index), h("span", { class: character in SPACING ? "escaped soft" : "escaped", title: code }, mark(character)));
    if (lines && character === "\n") nodes.push("\n");
    at = match.index + character.length;
  }
  nodes.push(text.slice(at));
  return nodes.filter((node) => node !== "");
}

// What finds a text, letter case ignored; null for an empty one.
export function finder(text) {
  return text ? new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu") : null;
}

// The beginning of a long text, or null where all of it fits. It does not end in half a character.
export function folded(text) {
  const line = text.indexOf("\n");
  const most = line < 0 ? FOLDED : Math.min(line, FOLDED);
  if (text.length <= most) return null;
  const half = /[\uD800-\uDBFF]$/.test(text.slice(0, most));
  return text.slice(0, half ? most - 1 : most);
}

// JSON of a log, exact, with escapes for all that cannot be seen.
export function json(log) {
  const text = JSON.stringify(log, null, 2);
  return text.replace(PIECE, (piece, seen) => (seen || piece === "\n" ? piece : escapes(piece)));
}

function escapes(character) {
  return character.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
}
