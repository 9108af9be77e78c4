/** A program where prom-client is not installed. */
import { register } from "node:module";
import { type MetricRegistry, metrics } from "../../src/debug/index.ts";

const hook = `export async function resolve(specifier, context, next) {
  if (specifier !== "prom-client") return await next(specifier, context);
  throw Object.assign(new Error("not there"), { code: "ERR_MODULE_NOT_FOUND" });
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

await metrics().catch((error: Error) => console.log(error.message));
let count = 0;
const registry: MetricRegistry = {
  registerMetric: () => count++,
  removeSingleMetric: () => {},
  metrics: async () => "",
  contentType: "text/plain",
};
using _ = await metrics({ registry });
console.log(`own registry: ${count} metrics`);
