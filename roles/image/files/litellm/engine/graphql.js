// Translates the GraphQL that Prisma's Python client writes into the JSON protocol, the only one
// the wasm engine speaks, and its answers back. Pure: text in, text out.
//
// The client writes a small, regular subset: one operation, aliased fields, JSON-like arguments,
// no variables, fragments or directives. Numbers keep their digits: they never pass through a
// JavaScript number on the way in, so 64-bit integers stay exact.
//
// One difference needs the schema: in GraphQL a Json field is a string of JSON, in the JSON protocol
// such a string would be stored as a string, so it has to be marked as Json.
'use strict';

const TOKEN = /[\s,]+|([A-Za-z_$][\w$]*)|("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|([{}()[\]:])/gy;

function tokenize(text) {
  const tokens = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const start = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) {
      throw new SyntaxError(`query: unexpected ${JSON.stringify(text.slice(start, start + 20))} at ${start}`);
    }
    const [, name, string, number, mark] = match;
    if (name) tokens.push({kind: 'name', text: name});
    else if (string) tokens.push({kind: 'string', text: string});
    else if (number) tokens.push({kind: 'number', text: number});
    else if (mark) tokens.push({kind: mark, text: mark});
  }
  return tokens;
}

class Parser {
  constructor(text) {
    this.tokens = tokenize(text);
    this.position = 0;
  }

  peek() {
    return this.tokens[this.position]?.kind;
  }

  take(kind) {
    const token = this.tokens[this.position];
    if (token?.kind !== kind) {
      throw new SyntaxError(`query: expected ${kind}, found ${token ? token.text : 'the end'}`);
    }
    this.position += 1;
    return token.text;
  }

  // -> [{alias, name, args, selection}]
  document() {
    const operation = this.take('name');
    if (operation !== 'query' && operation !== 'mutation') {
      throw new SyntaxError(`query: expected query or mutation, found ${operation}`);
    }
    return this.selection();
  }

  selection() {
    const fields = [];
    this.take('{');
    while (this.peek() !== '}') fields.push(this.field());
    this.take('}');
    return fields;
  }

  field() {
    let alias = this.take('name');
    let name = alias;
    if (this.peek() === ':') {
      this.take(':');
      name = this.take('name');
    }
    const args = this.peek() === '(' ? this.entries('(', ')') : {entries: []};
    const selection = this.peek() === '{' ? this.selection() : null;
    return {alias, name, args, selection};
  }

  // Values: {entries: [[key, value]]}, {items: [value]} or {text: JSON text}.
  entries(open, close) {
    const entries = [];
    this.take(open);
    while (this.peek() !== close) {
      const key = this.peek() === 'string' ? JSON.parse(this.take('string')) : this.take('name');
      this.take(':');
      entries.push([key, this.value()]);
    }
    this.take(close);
    return {entries};
  }

  value() {
    switch (this.peek()) {
      case '{':
        return this.entries('{', '}');
      case '[': {
        const items = [];
        this.take('[');
        while (this.peek() !== ']') items.push(this.value());
        this.take(']');
        return {items};
      }
      case 'string':
        return {text: this.take('string')};
      case 'number':
        return {text: this.take('number')};
      default: {
        const word = this.take('name');
        return {text: ['true', 'false', 'null'].includes(word) ? word : JSON.stringify(word)};
      }
    }
  }
}

// schema.prisma -> {model: {field: type}}
function modelsOf(schema) {
  const models = {};
  for (const [, model, body] of schema.matchAll(/^model\s+(\w+)\s*\{(.*?)^\}/gms)) {
    models[model] = Object.fromEntries(
      [...body.matchAll(/^\s+(\w+)\s+(\w+)/gm)].map(([, field, type]) => [field, type]),
    );
  }
  return models;
}

// A filter on a Json field compares with Json, but its path and its text searches are plain.
const PLAIN_IN_JSON_FILTER = new Set(['path', 'mode', 'string_contains', 'string_starts_with', 'string_ends_with']);

function jsonField(value) {
  if (value.items) return `[${value.items.map(jsonField).join(',')}]`;
  if (value.entries) {
    return object(value.entries, (key, item) => (PLAIN_IN_JSON_FILTER.has(key) ? text(item) : jsonField(item)));
  }
  return value.text.startsWith('"') ? `{"$type":"Json","value":${value.text}}` : value.text;
}

function object(entries, render) {
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${render(key, value)}`).join(',')}}`;
}

// Without a model (raw queries) everything is plain.
function text(value, models = {}, model = undefined) {
  if (value.items) return `[${value.items.map((item) => text(item, models, model)).join(',')}]`;
  if (!value.entries) return value.text;
  return object(value.entries, (key, item) => {
    const type = models[model]?.[key];
    if (type === 'Json') return jsonField(item);
    // A relation leads to another model; create, where, AND and the like stay with this one.
    return text(item, models, models[type] ? type : model);
  });
}

// The arguments themselves (data, where, ...) are never fields, whatever the model calls its own.
function argumentsText(args, models, model) {
  return object(args.entries, (_key, value) => text(value, models, model));
}

const ACTION = /^(findMany|createMany|createOne|updateMany|updateOne|upsertOne|deleteMany|deleteOne|aggregate|groupBy|findFirst|findUnique)(.+?)(OrThrow)?$/;

function operationOf(name) {
  if (name === 'queryRaw' || name === 'executeRaw') return {action: name};
  const match = ACTION.exec(name);
  if (!match) throw new SyntaxError(`query: unknown operation ${name}`);
  return {action: match[1] + (match[3] ?? ''), modelName: match[2]};
}

function selectionText(selection, models, model) {
  const fields = (selection ?? []).map((field) => {
    const inner = models[models[model]?.[field.name]] ? models[model][field.name] : model;
    const value = field.selection === null
      ? 'true'
      : `{"arguments":${argumentsText(field.args, models, inner)},`
        + `"selection":${selectionText(field.selection, models, inner)}}`;
    return `${JSON.stringify(field.name)}:${value}`;
  });
  return `{${fields.join(',')}}`;
}

// One GraphQL document -> {json, alias}
function translate(document, models) {
  const fields = new Parser(document).document();
  if (fields.length !== 1) {
    throw new SyntaxError(`query: expected one field at the top, found ${fields.length}`);
  }
  const [{alias, name, args, selection}] = fields;
  const {action, modelName} = operationOf(name);
  const model = modelName ? `"modelName":${JSON.stringify(modelName)},` : '';
  const json = `{${model}"action":"${action}",`
    + `"query":{"arguments":${argumentsText(args, models, modelName)},`
    + `"selection":${selectionText(selection, models, modelName)}}}`;
  return {json, alias};
}

// {"$type": "DateTime", "value": "..."} -> "...": the GraphQL protocol answers with plain values.
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.$type === 'string' && 'value' in value) return scalar(value.$type, value.value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

function scalar(type, value) {
  if (type !== 'BigInt') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

// Raw rows come as a table with one type a column; the client wants every cell typed.
function rawRows({columns, types, rows}) {
  return rows.map((row) => Object.fromEntries(
    row.map((value, i) => [columns[i], cell(types[i], value)]),
  ));
}

function cell(type, value) {
  if (value === null) return {prisma__type: 'null', prisma__value: null};
  if (!type.endsWith('-array')) return {prisma__type: type, prisma__value: value};
  const element = type.slice(0, -'-array'.length);
  return {prisma__type: 'array', prisma__value: value.map((item) => cell(element, item))};
}

function converted(name, value) {
  if (name === 'executeRaw') return value;
  return name === 'queryRaw' && value?.columns ? rawRows(value) : plain(value);
}

// The engine names its answer after the operation, the client asked for an alias.
function answer(reply, alias) {
  if (!reply.data) return reply;
  const [[name, value]] = Object.entries(reply.data);
  return {...reply, data: {[alias]: converted(name, value)}};
}

module.exports = {modelsOf, translate, answer};
