// Coronet's fetch.
import { fetch } from "../../../dist/src/http/index.js";
import { measureStandard } from "./load.mjs";

await measureStandard(fetch);
