# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Writes numbered rows through the balancer and says of each when it was committed.

Runs in Patroni's image, which has what it needs: writers.py HOST PORT. The password is the first
line of the standard input.
"""

import sys
import time

import psycopg

host, port = sys.argv[1:3]
password = sys.stdin.readline().strip()
number, connection = 0, None
while True:
    number += 1
    try:
        if connection is None:
            connection = psycopg.connect(
                host=host,
                port=port,
                user="litellm",
                dbname="litellm",
                password=password,
                connect_timeout=2,
                options="-c statement_timeout=4000",
                keepalives_idle=1,
                keepalives_interval=1,
                keepalives_count=2,
            )
            connection.execute("create table if not exists written (number int primary key)")
            connection.commit()
        connection.execute("insert into written values (%s)", (number,))
        connection.commit()
        print(number, time.time(), flush=True)
    except psycopg.Error:
        if connection is not None:
            connection.close()
        connection = None
    time.sleep(0.05)
