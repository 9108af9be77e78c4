// node:http's client with an agent that keeps its connections.
import { Agent, request } from "node:http";
import {
  checkHello,
  checkLarge,
  checkSum,
  JSON_BODY,
  JSON_TYPE,
  measureFetch,
  url,
} from "./load.mjs";

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

function ask(path, options, body) {
  return new Promise((resolve, reject) => {
    const asked = request(url + path, { agent, ...options }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => resolve(Buffer.concat(parts)));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

const post = {
  method: "POST",
  headers: { ...JSON_TYPE, "content-length": Buffer.byteLength(JSON_BODY) },
};

await measureFetch(
  async () => checkHello((await ask("", {})).toString()),
  async () => checkSum(JSON.parse((await ask("json", post, JSON_BODY)).toString())),
  async () => checkLarge((await ask("large", {})).length),
);
