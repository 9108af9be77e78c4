/**
 * on.ts: coronet/race: switches the race detector on as it is loaded (`node --import coronet/race app.js`).
 * CORONET_RACE in the environment says what a race does.
 */
import { startRaceDetector } from "./detector.ts";
import type { RaceMode } from "./report.ts";

const MODES: readonly string[] = ["report", "warn", "throw", "exit"] satisfies RaceMode[];

const mode = process.env.CORONET_RACE ?? "report";
if (!MODES.includes(mode)) {
  throw new RangeError(`CORONET_RACE is one of ${MODES.join(", ")}, not "${mode}"`);
}
startRaceDetector({ mode: mode as RaceMode });
