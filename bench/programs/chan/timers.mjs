// The host's own timers.
import { measure } from "../loop.mjs";
import { FAR_MS } from "./load.mjs";

await measure({
  async timer(count) {
    for (let i = 0; i < count; i++) clearTimeout(setTimeout(() => {}, FAR_MS));
  },
});
