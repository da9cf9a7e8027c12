#!/usr/bin/env node
// Prisma's binary query engine, as far as the Python client uses it, on top of the official wasm
// engine of @prisma/client and the pg driver. The Rust binary comes from one host only, which
// closed networks do not reach; npm mirrors carry everything used here.
//
//   query-engine -p PORT      (PRISMA_DML_PATH, DATABASE_URL or OVERWRITE_DATASOURCES)
'use strict';

const http = require('node:http');
const fs = require('node:fs');
const path = require('node:path');
const {modelsOf, translate, answer} = require('./graphql.js');
const {clientClass, poolOptions, knownError} = require('./database.js');

const VERSION = require('@prisma/client/package.json').version;
const MAX_BODY_BYTES = 64 * 1024 * 1024;

function fail(message) {
  process.stderr.write(`query-engine: ${message}\n`);
  process.exit(1);
}

function portOf(argv) {
  const at = argv.findIndex((word) => word === '-p' || word === '--port');
  const port = Number(argv[at + 1]);
  if (at < 0 || !Number.isInteger(port)) fail('no port given; expected -p PORT');
  return port;
}

function databaseUrl(env) {
  const overrides = env.OVERWRITE_DATASOURCES ? JSON.parse(env.OVERWRITE_DATASOURCES) : [];
  const url = overrides[0]?.url ?? env.DATABASE_URL;
  if (!url) fail('DATABASE_URL is not set; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE');
  return url;
}

function loadEngine(datamodel, adapter) {
  const runtime = path.join(path.dirname(require.resolve('@prisma/client/package.json')), 'runtime');
  const bindings = require(path.join(runtime, 'query_engine_bg.postgresql.js'));
  const wasm = new WebAssembly.Module(fs.readFileSync(path.join(runtime, 'query_engine_bg.postgresql.wasm')));
  const instance = new WebAssembly.Instance(wasm, {'./query_engine_bg.js': bindings});
  bindings.__wbg_set_wasm(instance.exports);
  const options = {datamodel, logLevel: 'error', logQueries: false, native: undefined};
  return new bindings.QueryEngine(options, () => {}, adapter);
}

class Service {
  constructor(engine, models, pool, adapter) {
    this.engine = engine;
    this.models = models;
    this.pool = pool;
    this.adapter = adapter;
    this.ready = null;
  }

  // The client polls /status until the engine is up: an unreachable database shows here.
  async status() {
    this.ready ??= this.pool.query('SELECT 1')
      .then(() => this.engine.connect('{}'))
      .catch((error) => { this.ready = null; throw error; });
    await this.ready;
    return {status: 'ok'};
  }

  async query(body, transaction) {
    await this.status(); // LiteLLM restarts an engine without asking whether it is connected
    const request = JSON.parse(body);
    if (request.batch) return this.batch(request, transaction);
    const {json, alias} = translate(request.query, this.models);
    return answer(this.parse(await this.engine.query(json, '{}', transaction)), alias);
  }

  async batch(request, transaction) {
    const parts = request.batch.map((part) => translate(part.query, this.models));
    const wanted = request.transaction && !transaction ? '{}' : 'null';
    const json = `{"batch":[${parts.map((part) => part.json).join(',')}],"transaction":${wanted}}`;
    const reply = this.parse(await this.engine.query(json, '{}', transaction));
    if (!reply.batchResult) return reply;
    return {...reply, batchResult: reply.batchResult.map((one, i) => answer(one, parts[i].alias))};
  }

  async start(body) {
    await this.status();
    const {max_wait: maxWait = 2000, timeout = 5000} = JSON.parse(body || '{}');
    return this.parse(await this.engine.startTransaction(JSON.stringify({max_wait: maxWait, timeout}), '{}'));
  }

  async end(id, verb) {
    const method = verb === 'commit' ? 'commitTransaction' : 'rollbackTransaction';
    return this.parse(await this.engine[method](id, '{}'));
  }

  // Failures of the driver itself (no connection, pool exhausted) reach us as a number only:
  // the adapter keeps the error under it.
  parse(text) {
    const reply = JSON.parse(text);
    const errors = reply.errors ?? (reply.error_code ? [{error: reply.message, user_facing_error: reply}] : null);
    if (!errors) return reply;
    return {errors: errors.map((error) => knownError(error, this.adapter.errorRegistry))};
  }
}

async function body(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new RangeError(`request is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function route(service, request) {
  const [, first, second, third] = new URL(request.url, 'http://localhost').pathname.split('/');
  if (request.method === 'GET' && first === 'status') return service.status();
  if (request.method === 'GET' && first === 'metrics') return {counters: [], gauges: [], histograms: []};
  if (request.method === 'POST' && first === '') {
    return service.query(await body(request), request.headers['x-transaction-id']);
  }
  if (request.method === 'POST' && first === 'transaction') {
    if (second === 'start') return service.start(await body(request));
    if (third === 'commit' || third === 'rollback') return service.end(second, third);
  }
  return null;
}

function handler(service) {
  return async (request, response) => {
    let code = 200;
    let reply;
    try {
      reply = await route(service, request);
      if (reply === null) {
        code = 404;
        reply = {Errors: [`${request.method} ${request.url} is not served here`]};
      }
    } catch (error) {
      const known = knownError({error: String(error.message ?? error), cause: error}, null);
      reply = request.method === 'GET' ? {Errors: [known.error]} : {errors: [known]};
    }
    response.writeHead(code, {'content-type': 'application/json'});
    response.end(JSON.stringify(reply));
  };
}

function main() {
  if (process.argv.includes('--version')) {
    process.stdout.write(`query-engine wasm-${VERSION}\n`);
    return;
  }
  const port = portOf(process.argv);
  const pg = require('pg');
  const {PrismaPg} = require('@prisma/adapter-pg');
  const {bindAdapter} = require('@prisma/driver-adapter-utils');
  const {options, schema} = poolOptions(databaseUrl(process.env));
  const pool = new pg.Pool({...options, Client: clientClass(pg)});
  // An idle connection that the server closes is replaced by the pool; without a listener
  // Node would end the process.
  pool.on('error', (error) => process.stderr.write(`query-engine: idle connection lost: ${error.message}\n`));
  const adapter = bindAdapter(new PrismaPg(pool, {schema}));
  const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, 'utf8');
  const service = new Service(loadEngine(datamodel, adapter), modelsOf(datamodel), pool, adapter);
  const server = http.createServer(handler(service));
  server.keepAliveTimeout = 0;
  server.on('error', (error) => fail(`cannot listen on port ${port}: ${error.message}`));
  // The client connects to "localhost", which may be either address family.
  server.listen(port, 'localhost');
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
  // Orphaned engines would keep database connections: leave when the parent is gone.
  setInterval(() => { if (process.ppid === 1 && parent !== 1) process.exit(0); }, 2000).unref();
}

const parent = process.ppid;
main();
