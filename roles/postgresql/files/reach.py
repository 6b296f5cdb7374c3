"""Read from PostgreSQL as applications do: reach.py CONNINFO, the password in PGPASSWORD."""

import os
import sys

conninfo, query = sys.argv[1], "select count(*) from pg_class"
try:
    import psycopg2
except ImportError:
    os.execvp("psql", ["psql", conninfo, "-XAtwc", query])  # noqa: S606
try:
    cursor = psycopg2.connect(conninfo).cursor()
    cursor.execute(query)
except psycopg2.Error as error:
    sys.exit(str(error))
