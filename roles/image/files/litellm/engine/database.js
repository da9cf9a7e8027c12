// What a Prisma database URL means to the pg driver, and what the driver's errors mean to Prisma.
'use strict';

const net = require('node:net');

const DEFAULT_POOL_TIMEOUT_SECONDS = 10;

function tlsOf(params, host) {
  const mode = params.get('sslmode') ?? 'prefer';
  if (mode === 'disable' || mode === 'prefer' || mode === 'allow') return false;
  const strict = mode.startsWith('verify-') || params.get('sslaccept') === 'strict';
  return {
    rejectUnauthorized: strict,
    // pg names a server by its name alone; without one Node.js compares certificates with localhost.
    ...(net.isIP(host) ? {host} : {}),
    ...(mode === 'verify-ca' ? {checkServerIdentity: () => undefined} : {}),
  };
}

// -> {options: for pg.Pool, schema}
function poolOptions(text) {
  const url = new URL(text);
  const params = url.searchParams;
  // A URL has addresses of IPv6 in brackets, a connection has them without.
  const host = params.get('host') ?? decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const seconds = Number(params.get('pool_timeout') ?? DEFAULT_POOL_TIMEOUT_SECONDS);
  const limit = Number(params.get('connection_limit') ?? 0);
  return {
    schema: params.get('schema') ?? undefined,
    options: {
      host,
      port: Number(url.port || 5432),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database: decodeURIComponent(url.pathname.slice(1)),
      max: limit > 0 ? limit : 10,
      connectionTimeoutMillis: seconds > 0 ? seconds * 1000 : 0,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      ssl: tlsOf(params, host),
      application_name: 'litellm',
      // The adapter drops the zone of timestamps, so the session's must be UTC.
      options: '-c TimeZone=UTC',
    },
  };
}

// System columns the adapter refuses although they are text; Prisma's own engine takes them.
const NAME_ARRAY = 1003;
const TEXT_ARRAY = 1009;
const TEXT = 25;
const TEXT_LIKE = new Map([[18, TEXT], [19, TEXT], [705, TEXT], [2278, TEXT], [NAME_ARRAY, TEXT_ARRAY]]);

function textual(result) {
  for (const field of result?.fields ?? []) {
    field.dataTypeID = TEXT_LIKE.get(field.dataTypeID) ?? field.dataTypeID;
  }
  return result;
}

// A pg.Client whose results name only types that the adapter knows.
function clientClass(pg) {
  pg.types.setTypeParser(NAME_ARRAY, pg.types.getTypeParser(TEXT_ARRAY));
  return class extends pg.Client {
    query(...args) {
      const done = args.at(-1);
      if (typeof done === 'function') {
        args[args.length - 1] = (error, result) => done(error, textual(result));
        return super.query(...args);
      }
      const pending = super.query(...args);
      return typeof pending?.then === 'function' ? pending.then(textual) : pending;
    }
  };
}

// The codes Prisma's own connectors use, which LiteLLM knows how to handle (reconnect, 503).
const DRIVER_ERRORS = [
  [/timeout exceeded when trying to connect/i, 'P2024', 'Timed out fetching a new connection from the connection pool.'],
  [/ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/, 'P1001', "Can't reach database server"],
  [/ECONNRESET|EPIPE|Connection terminated|server closed the connection/i, 'P1017', 'Server has closed the connection.'],
  [/password authentication failed/i, 'P1000', 'Authentication failed against database server'],
];

function knownError(error, registry) {
  const id = error.user_facing_error?.error_code === 'P2036' ? error.user_facing_error.meta?.id : undefined;
  const cause = id === undefined ? error.cause : registry?.consumeError(id)?.error;
  if (!cause) return error;
  const text = [cause.code, cause.message, ...(cause.errors ?? []).map((one) => one.message)]
    .filter(Boolean).join(' ');
  const [, code, meaning] = DRIVER_ERRORS.find(([pattern]) => pattern.test(text)) ?? [];
  const message = code ? `${meaning} (${text})` : text;
  return {
    error: message,
    user_facing_error: {is_panic: false, message, meta: {}, ...(code ? {error_code: code} : {})},
  };
}

module.exports = {clientClass, poolOptions, knownError};
