/**
 * coronet/debug: what shows a program run. This file is the public surface, and nothing else.
 */
export { type RaceDetector, startRaceDetector } from "./race/detector.ts";
export {
  type Race,
  type RaceAccess,
  RaceError,
  type RaceMode,
  type RaceOptions,
  raceReport,
} from "./race/report.ts";
