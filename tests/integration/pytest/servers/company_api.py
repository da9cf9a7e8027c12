# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An OpenAI-compatible API behind a key, as a company has one: llama.cpp's server in a process.

Run with an interpreter that has xllamacpp: company_api.py ADDRESS PORT MODEL_FILE chat|embedding.
The key is the first line of standard input; the process ends when standard input does.
"""

from __future__ import annotations

import sys

import xllamacpp


def main() -> None:
    address, port, weights, mode = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.hostnames = [address]
    params.port = int(port)
    params.api_keys = [sys.stdin.readline().strip()]
    params.n_ctx = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = 1  # more only spin on small and busy machines
    params.warmup = False
    if mode == "embedding":
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
