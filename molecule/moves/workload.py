"""Clients of PostgreSQL that say what became of every statement. It runs on a host of the lab.

workload.py CONNINFO SECONDS: CONNINFO is libpq's, for as many hosts and ports as a client may try.
A writer commits one number after the other, a reader counts them. What PostgreSQL acknowledged, and
each error, is a line of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2

PAUSE = 0.02
# Ends it before its time.
STOP = "/root/workload.stop"
tell = threading.Lock()


def say(**what: object) -> None:
    with tell:
        print(json.dumps({"at": time.monotonic(), **what}), flush=True)


def client(name: str, conninfo: str, end: float, work: Callable[[Any], int]) -> None:
    connection = None
    while time.monotonic() < end and not os.path.exists(STOP):
        if connection is None:
            try:
                connection = psycopg2.connect(conninfo, connect_timeout=5)
            except psycopg2.OperationalError as error:
                say(client=name, event="refused", why=str(error).splitlines()[0])
                time.sleep(PAUSE)
                continue
            say(client=name, event="connected", port=connection.info.port)
        try:
            say(client=name, event="ack", value=work(connection))
            time.sleep(PAUSE)
        except psycopg2.Error as error:
            say(client=name, event="lost", why=str(error).splitlines()[0])
            connection.close()
            connection = None
    say(client=name, event="ended")


def main() -> None:
    conninfo, seconds = sys.argv[1], float(sys.argv[2])
    with psycopg2.connect(conninfo) as connection, connection.cursor() as cursor:
        cursor.execute("drop table if exists moved")
        cursor.execute("create table moved (id serial primary key, value bigint)")
    connection.close()
    number = iter(range(1 << 40))

    def write(connection: Any) -> int:
        value = next(number)
        with connection, connection.cursor() as cursor:
            cursor.execute("insert into moved (value) values (%s)", (value,))
        return value

    def read(connection: Any) -> int:
        with connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from moved")
            return int(cursor.fetchone()[0])

    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=client, args=(name, conninfo, end, work))
        for name, work in (("writer", write), ("reader", read))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
