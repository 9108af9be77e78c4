import { afterEach, beforeEach, test } from "node:test";
import { tests } from "./leaks.mjs";

tests({ test, beforeEach, afterEach });
