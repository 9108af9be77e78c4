import { afterEach, beforeEach, test } from "vitest";
import { tests } from "./leaks.mjs";

tests({ test, beforeEach, afterEach });
