# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The translation between LiteLLM's database client and the wasm query engine (image litellm)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ENGINE = Path(__file__).resolve().parents[2] / "roles/image/files/litellm/engine"
NODE = shutil.which("node")
SCHEMA = """
model Key {
  token    String @id
  metadata Json   @default("{}")
  labels   Json[]
  spend    Float
  team     Team?  @relation(fields: [team_id], references: [id])
  team_id  String?
}
model Team {
  id    String @id
  rules Json?
  keys  Key[]
}
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed on this machine")


def node(file, expression, *arguments):
    """Evaluate an expression over a module `m` and `a`, the arguments; return its JSON."""
    script = (
        f"const m = require({json.dumps(str(ENGINE / file))}); const a = {json.dumps(arguments)};"
        f"Promise.resolve({expression}).then((v) => process.stdout.write(JSON.stringify(v)))"
    )
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def translate(query):
    found = node("graphql.js", "m.translate(a[0], m.modelsOf(a[1]))", query, SCHEMA)
    return json.loads(found["json"], parse_int=str), found["alias"]


def test_read_becomes_a_protocol_query():
    query, alias = translate(
        'query { result: findManyKey(take: 2, where: {token: "a\\"b"}) { token team { id } } }'
    )
    assert alias == "result"
    assert query["modelName"] == "Key"
    assert query["action"] == "findMany"
    assert query["query"]["arguments"] == {"take": "2", "where": {"token": 'a"b'}}
    assert query["query"]["selection"] == {
        "token": True,
        "team": {"arguments": {}, "selection": {"id": True}},
    }


def test_json_field_is_marked_wherever_it_is_written():
    query, _alias = translate(
        'mutation { result: upsertOneKey(where: {token: "t"}, data: {'
        ' create: {metadata: "{\\"a\\": 1}", labels: ["1", "2"],'
        ' team: {create: {id: "x", rules: "[]"}}}, update: {metadata: "{}"}}) { token } }'
    )
    data = query["query"]["arguments"]["data"]
    assert data["create"]["metadata"] == {"$type": "Json", "value": '{"a": 1}'}
    assert data["create"]["labels"] == [
        {"$type": "Json", "value": "1"},
        {"$type": "Json", "value": "2"},
    ]
    assert data["create"]["team"]["create"] == {
        "id": "x",
        "rules": {"$type": "Json", "value": "[]"},
    }
    assert data["update"]["metadata"] == {"$type": "Json", "value": "{}"}


def test_path_of_a_json_filter_stays_plain():
    query, _alias = translate(
        'query { result: findFirstKey(where: {metadata: {path: ["a"], equals: "1"}}) { token } }'
    )
    assert query["query"]["arguments"]["where"]["metadata"] == {
        "path": ["a"],
        "equals": {"$type": "Json", "value": "1"},
    }


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("findUniqueKeyOrThrow", "findUniqueOrThrow"),
        ("findFirstKey", "findFirst"),
        ("createManyKey", "createMany"),
        ("deleteOneKey", "deleteOne"),
        ("aggregateKey", "aggregate"),
        ("groupByKey", "groupBy"),
    ],
)
def test_operations_are_taken_apart(name, action):
    query, _alias = translate(f"query {{ result: {name} {{ token }} }}")
    assert (query["action"], query["modelName"]) == (action, "Key")


def test_large_and_small_numbers_keep_their_digits():
    query, _alias = translate(
        "mutation { result: updateOneKey(data: {spend: {increment: 1e-05}, n: 9007199254740993})"
        " { token } }"
    )
    text = json.dumps(query)
    assert "9007199254740993" in text
    assert query["query"]["arguments"]["data"]["spend"] == {"increment": 1e-05}


def test_raw_parameters_are_not_touched():
    query, _alias = translate(
        'mutation { result: queryRaw(query: "SELECT $1", parameters: "[\\"a\\"]") }'
    )
    assert query == {
        "action": "queryRaw",
        "query": {
            "arguments": {"query": "SELECT $1", "parameters": '["a"]'},
            "selection": {},
        },
    }


def test_typed_values_come_back_plain():
    reply = {
        "data": {
            "findManyKey": [
                {
                    "at": {"$type": "DateTime", "value": "2026-01-01T00:00:00.000Z"},
                    "small": {"$type": "BigInt", "value": "12"},
                    "large": {"$type": "BigInt", "value": "9007199254740993"},
                    "metadata": {"$type": "Json", "value": '{"$type":"x"}'},
                }
            ]
        }
    }
    assert node("graphql.js", "m.answer(a[0], 'result')", reply)["data"]["result"] == [
        {
            "at": "2026-01-01T00:00:00.000Z",
            "small": 12,
            "large": "9007199254740993",
            "metadata": '{"$type":"x"}',
        }
    ]


def test_raw_rows_are_typed_cell_by_cell():
    table = {
        "columns": ["n", "names", "none"],
        "types": ["bigint", "string-array", "int"],
        "rows": [["1", ["a"], None]],
    }
    assert node("graphql.js", "m.answer(a[0], 'result')", {"data": {"queryRaw": table}}) == {
        "data": {
            "result": [
                {
                    "n": {"prisma__type": "bigint", "prisma__value": "1"},
                    "names": {
                        "prisma__type": "array",
                        "prisma__value": [{"prisma__type": "string", "prisma__value": "a"}],
                    },
                    "none": {"prisma__type": "null", "prisma__value": None},
                }
            ]
        }
    }


def test_errors_pass_as_they_are():
    reply = {"errors": [{"user_facing_error": {"error_code": "P2002"}}]}
    assert node("graphql.js", "m.answer(a[0], 'result')", reply) == reply


@pytest.mark.parametrize(
    "query", ["", "query {", "subscription { a }", "query { result: dropKey { x } }", "query { ! }"]
)
def test_what_is_no_query_is_refused(query):
    with pytest.raises(AssertionError, match="SyntaxError"):
        translate(query)


def test_pool_follows_the_database_url():
    url = "postgresql://u:p%40ss@db:5433/litellm?connection_limit=7&pool_timeout=3&schema=s"
    found = node("database.js", "m.poolOptions(a[0])", url)
    assert found["schema"] == "s"
    options = found["options"]
    assert (options["host"], options["port"], options["database"]) == ("db", 5433, "litellm")
    assert (options["user"], options["password"]) == ("u", "p@ss")
    assert (options["max"], options["connectionTimeoutMillis"]) == (7, 3000)
    assert options["ssl"] is False


@pytest.mark.parametrize(
    ("written", "host"), [("[2001:db8::5]:5432", "2001:db8::5"), ("192.0.2.5", "192.0.2.5")]
)
def test_a_server_may_be_an_address_and_its_certificate_is_compared_with_it(written, host):
    url = f"postgresql://u:p@{written}/litellm?sslmode=verify-full"
    options = node("database.js", "m.poolOptions(a[0]).options", url)
    assert (options["host"], options["port"]) == (host, 5432)
    assert options["ssl"] == {"rejectUnauthorized": True, "host": host}


def test_the_name_of_a_server_is_left_to_the_driver():
    url = "postgresql://u:p@db.example.internal/litellm?sslmode=verify-full"
    assert node("database.js", "m.poolOptions(a[0]).options.ssl", url) == {
        "rejectUnauthorized": True
    }


# What pg makes of `ssl` once the server has agreed to TLS, with a server of this process.
CONNECT = """new Promise((done) => {
  const tls = require('node:tls');
  const server = tls.createServer({key: a[0], cert: a[0]}, (socket) => socket.end());
  server.listen(0, '127.0.0.1', () => {
    const url = `postgresql://u:p@127.0.0.1:${server.address().port}/x?sslmode=verify-full`;
    const {host, port, ssl} = m.poolOptions(url).options;
    const socket = require('node:net').connect(port, host, () => {
      const secure = tls.connect({socket, ca: a[0], ...ssl});
      const end = (said) => { socket.destroy(); server.close(); done(said); };
      secure.once('secureConnect', () => end('connected'));
      secure.once('error', (error) => end(error.code));
    });
  });
})"""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed here")
@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1", "connected"), ("192.0.2.9", "ERR_TLS_CERT_ALTNAME_INVALID")],
)
def test_a_certificate_for_the_servers_address_is_valid_and_no_other(tmp_path, address, said):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    holder = f"-subj /CN=db -addext subjectAltName=IP:{address}"
    subprocess.run(
        [*f"openssl req -x509 -days 2 {kind} {holder} -keyout".split(), key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    pem = key.read_text() + certificate.read_text()
    assert node("database.js", CONNECT, pem) == said


@pytest.mark.parametrize(
    ("mode", "is_verified"), [("require", False), ("verify-full", True), ("verify-ca", True)]
)
def test_verification_of_the_server_follows_sslmode(mode, is_verified):
    url = f"postgresql://u:p@db/litellm?sslmode={mode}"
    assert node("database.js", "m.poolOptions(a[0]).options.ssl.rejectUnauthorized", url) is (
        is_verified
    )


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("connect ECONNREFUSED 10.0.0.1:5432", "P1001"),
        ("timeout exceeded when trying to connect", "P2024"),
        ("Connection terminated unexpectedly", "P1017"),
    ],
)
def test_failures_of_the_driver_get_the_codes_litellm_knows(message, code):
    error = node("database.js", "m.knownError({error: 'x', cause: {message: a[0]}}, null)", message)
    assert error["user_facing_error"]["error_code"] == code
