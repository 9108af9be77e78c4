// live.js: what the server tells once per second, kept for the charts.

import { shown } from "./dom.js";

const KEPT = 300;

export const ticks = [];
const listeners = new Set();
const state = { paused: false, connected: false };

export function isPaused() {
  return state.paused;
}

export function setPaused(paused) {
  state.paused = paused;
  if (!paused) tell();
}

/** Told of every tick, and of the state of the line. Returns what ends it. */
export function onLive(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  for (const listener of listeners) listener(ticks.at(-1), state.connected);
}

export function open() {
  const source = new EventSource("/api/live");
  source.addEventListener("history", ({ data }) => {
    state.connected = true;
    ticks.splice(0, ticks.length, ...JSON.parse(data));
    tell();
  });
  source.addEventListener("tick", ({ data }) => {
    ticks.push(JSON.parse(data));
    if (ticks.length > KEPT) ticks.shift();
    if (!state.paused) tell();
  });
  source.addEventListener("error", () => {
    state.connected = false;
    tell();
  });
}

/** What a tick has of the thread that is shown; nothing when it said nothing. */
export function part({ threads }) {
  if (shown.thread === undefined) return threads[0];
  return threads.find(({ pid, thread }) => `${pid}.${thread}` === shown.thread) ?? {};
}

/** What the threads of a tick add up to. */
export function total(tick, name) {
  return tick.threads.reduce((sum, thread) => sum + (thread[name] ?? 0), 0);
}

export function rate(tick, name) {
  return (total(tick, name) * 1000) / tick.ms;
}

/** A histogram of the last ticks: counts by bucket, of all threads or of those that `of` gives of a tick. */
export function histogram(name, of = ({ threads }) => threads, last = 60) {
  const counts = [];
  for (const { [name]: hit = [] } of ticks.slice(-last).flatMap(of)) {
    for (let i = 0; i < hit.length; i += 2) counts[hit[i]] = (counts[hit[i]] ?? 0) + hit[i + 1];
  }
  return Array.from(counts, (value) => value ?? 0);
}
