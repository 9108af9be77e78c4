// The fetch of Node (undici's) or of Bun.
import { measureStandard } from "./load.mjs";

await measureStandard(globalThis.fetch);
