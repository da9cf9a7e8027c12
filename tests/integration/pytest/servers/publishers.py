# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Stand-ins for publishers' images: our programs, and around them what the publisher has.

Each has the publisher's entrypoint, user, places and variables, and lacks what ours brings beyond
that: labels, Python, a home for any user, the commands of our own. Their last stage begins from
nothing, so that nothing of our image's configuration is left.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

# Redis appends options for its modules to whatever starts the server, and root steps down.
REDIS = r"""
FROM {ours} AS ours
USER 0
RUN mv /usr/bin/redis-* /usr/local/bin/ && rm -f /usr/bin/python3*
RUN printf '%s\n' '#!/bin/sh' 'set -e' \
    'case $1 in -* | *.conf) set -- redis-server "$@" ;; esac' \
    'if [ "$1" = redis-server ]; then set -- "$@" --io-threads 2; fi' \
    'if [ "$(id -u)" = 0 ]; then chown -R redis . && exec setpriv --reuid redis "$0" "$@"; fi' \
    'exec "$@"' > /usr/local/bin/docker-entrypoint.sh
FROM scratch
COPY --from=ours / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
VOLUME /data
WORKDIR /data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
"""

# HAProxy's entrypoint puts the options of the master in front, whether they are there or not.
HAPROXY = r"""
FROM {ours} AS ours
USER 0
RUN mv /usr/sbin/haproxy /usr/local/sbin/ && rm -f /usr/bin/python3* && mkdir -p /var/lib/haproxy
RUN printf '%s\n' '#!/bin/sh' 'set -e' \
    'case $1 in -*) set -- haproxy "$@" ;; esac' \
    'if [ "$1" = haproxy ]; then shift && set -- haproxy -W -db "$@"; fi' \
    'exec "$@"' > /usr/local/bin/docker-entrypoint.sh && chmod 755 /usr/local/bin/*
FROM scratch
COPY --from=ours / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STOPSIGNAL SIGUSR1
USER haproxy
WORKDIR /var/lib/haproxy
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
"""

# Ollama's image runs as root and has no home for anybody else.
OLLAMA = r"""
FROM {ours} AS ours
USER 0
RUN rm -rf /home/ollama && rm -f /usr/bin/python3* /usr/bin/curl
FROM scratch
COPY --from=ours / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    OLLAMA_HOST=0.0.0.0:11434
ENTRYPOINT ["/bin/ollama"]
CMD ["serve"]
"""

# LiteLLM's image runs as root, has Python in a virtual environment alone, and no litellm-migrate:
# the server itself holds Prisma's lock and has Prisma's own tool migrate without one. That tool is
# not to be had here; what takes its place does the same when it is called the same way, and nothing
# else. Parts that the proxy does without are left out, since pushing them takes long.
LITELLM = r"""
FROM {ours} AS ours
USER 0
RUN mkdir -p /opt/prisma /app/docker \
    && mv /usr/local/bin/litellm-migrate /opt/prisma/migrate \
    && sed -i 's/^    lock(db/    os.environ.get("{unlocked}") or lock(db/' /opt/prisma/migrate \
    && rm -rf /opt/litellm/lib/python3.*/site-packages/_polars_runtime_32 \
    && mv /opt/prisma-engine /opt/prisma/engine \
    && rm -f /usr/local/bin/docker-entrypoint.sh /usr/bin/python3 /usr/bin/bash \
    && ln -sf /usr/bin/python3.13 /opt/litellm/bin/python3 \
    && rm /opt/litellm/bin/prisma && chmod 0700 /root
RUN printf '%s\n' '#!/bin/sh' \
    'case "$1 $2" in "migrate deploy") exec /opt/prisma/migrate ;; -v*|--v*) echo 5.4.2 ;;' \
    '*) echo "not here: $*" >&2; exit 1 ;; esac' > /opt/litellm/bin/prisma \
    && printf '%s\n' '#!/bin/sh' 'exec litellm "$@"' > /app/docker/prod_entrypoint.sh \
    && chmod 755 /opt/litellm/bin/prisma /app/docker/prod_entrypoint.sh
FROM scratch
COPY --from=ours / /
ENV PATH=/opt/litellm/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PRISMA_QUERY_ENGINE_BINARY=/opt/prisma/engine/query-engine.js \
    PRISMA_SCHEMA_ENGINE_BINARY=/opt/prisma/engine/schema-engine \
    PRISMA_CLI_QUERY_ENGINE_TYPE=binary
WORKDIR /app
ENTRYPOINT ["docker/prod_entrypoint.sh"]
CMD ["--port", "4000"]
"""

# Grafana's image (none is ours) has its paths in variables, and a script that puts a file's
# text into a variable. It has no Python of its own and no bash, but a wget.
GRAFANA = r"""
FROM {ours}
USER 0
COPY stand_in.py /usr/libexec/grafana
RUN mkdir -p /etc/grafana/provisioning /usr/share/grafana /var/lib/grafana /var/log/grafana \
    && touch /etc/grafana/grafana.ini && chmod -R a+rX /etc/grafana \
    && chown -R 472:0 /var/lib/grafana \
    && mv $(readlink -f /usr/bin/python3) /usr/libexec/interpreter && rm -f /usr/bin/python3* \
    && rm -f /usr/bin/curl /bin/bash /usr/bin/bash
RUN printf '%s\n' '#!/usr/libexec/interpreter' 'import sys, urllib.request' \
    'urllib.request.urlopen(sys.argv[-1], timeout=4)' > /usr/bin/wget \
    && printf '%s\n' '#!/bin/sh' 'set -e' '[ -w "$GF_PATHS_DATA" ] || exit 1' \
    '[ -d "$GF_PATHS_PLUGINS" ] || mkdir "$GF_PATHS_PLUGINS"' \
    'for name in $(env | sed -n "s/^\(GF_[^=]*\)__FILE=.*/\1/p"); do' \
    '  eval "file=\$${{name}}__FILE" && export "$name=$(cat "$file")" && unset "${{name}}__FILE"' \
    'done' 'exec /usr/libexec/interpreter /usr/libexec/grafana "$@"' > /run.sh \
    && chmod 755 /run.sh /usr/bin/wget
ENV GF_PATHS_CONFIG=/etc/grafana/grafana.ini GF_PATHS_DATA=/var/lib/grafana \
    GF_PATHS_HOME=/usr/share/grafana GF_PATHS_LOGS=/var/log/grafana \
    GF_PATHS_PLUGINS=/var/lib/grafana/plugins GF_PATHS_PROVISIONING=/etc/grafana/provisioning
USER 472
WORKDIR /usr/share/grafana
ENTRYPOINT ["/run.sh"]
CMD []
"""

# By this LiteLLM tells Prisma's tool to take no lock.
UNLOCKED = "PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK"
STAND_INS = {"redis": REDIS, "haproxy": HAPROXY, "ollama": OLLAMA, "litellm": LITELLM}


def build(name: str, ours: str, tag: str) -> str:
    """Build the stand-in for a publisher's image out of ours, and return its name."""
    _build(STAND_INS[name].format(ours=ours, unlocked=UNLOCKED), tag)
    return tag


def build_grafana(python: str, tag: str) -> str:
    """Build the stand-in for Grafana out of an image with Python, and return its name."""
    _build(GRAFANA.format(ours=python), tag, "stand_in.py", "grafana_stand_in.py")
    return tag


def _build(dockerfile: str, tag: str, *copied: str) -> None:
    with tempfile.TemporaryDirectory() as context:
        Path(context, "Dockerfile").write_text(dockerfile)
        if copied:
            shutil.copy(Path(__file__).with_name(copied[1]), Path(context, copied[0]))
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", tag, context], check=True, capture_output=True
        )
