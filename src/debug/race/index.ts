/**
 * coronet/race: the race detector. Loading it by `node --import coronet/race` switches it on, with the
 * mode that CORONET_RACE says; imported by a program it does nothing until startRaceDetector() is called.
 */
export { type RaceDetector, startRaceDetector } from "./detector.ts";
export {
  type Race,
  type RaceAccess,
  RaceError,
  type RaceMode,
  type RaceOptions,
  raceReport,
} from "./report.ts";
