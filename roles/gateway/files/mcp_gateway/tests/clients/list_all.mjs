// Lists everything at each address with each official TypeScript client: list_all.mjs URL...
// Prints one JSON object: for each client and address how many of each kind it saw, or its error.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const resolve = createRequire(`${process.env.PACKAGES}/package.json`).resolve;
const load = (name) => import(pathToFileURL(resolve(name)));
const one = await load("@modelcontextprotocol/sdk/client/index.js");
const http = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
const two = await load("@modelcontextprotocol/client");

console.debug = console.log = console.error; // they write to stdout what is no report

const LISTS = {
  tools: "listTools",
  prompts: "listPrompts",
  resources: "listResources",
  resourceTemplates: "listResourceTemplates",
};
const about = { name: "tests", version: "1" };
const open = {
  "sdk 1": () => [new one.Client(about), http.StreamableHTTPClientTransport],
  "client 2, legacy": () => [new two.Client(about), two.StreamableHTTPClientTransport],
  "client 2, modern": () => [
    new two.Client(about, { versionNegotiation: { mode: { pin: "2026-07-28" } } }),
    two.StreamableHTTPClientTransport,
  ],
};

async function count(client, method, member) {
  let total = 0;
  let cursor;
  do {
    const page = await client[method](cursor === undefined ? undefined : { cursor });
    total += page[member].length;
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return total;
}

const report = {};
for (const [name, make] of Object.entries(open)) {
  report[name] = {};
  for (const url of process.argv.slice(2)) {
    const [client, Transport] = make();
    const seen = {};
    try {
      await client.connect(new Transport(new URL(url)));
      for (const [member, method] of Object.entries(LISTS)) {
        seen[member] = await count(client, method, member);
      }
      report[name][url] = seen;
    } catch (error) {
      report[name][url] = { ...seen, error: String(error).slice(0, 2000) };
    }
    await client.close().catch(() => {});
  }
}
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
