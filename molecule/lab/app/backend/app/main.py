# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three families of the API, for ``uvicorn app.main:app``.

Environment: ``DATABASE_URL`` and ``REDIS_URL``, with the passwords in them or in the credentials
``database_password`` and ``redis_password`` of systemd; ``CORS_ORIGINS``, separated by commas.
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import time
import typing as t
import uuid

import fastapi
import psycopg2
import psycopg2.extensions
import redis
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

MODEL: t.Final = "prsnl-lab"
PIECE_DELAY: t.Final = 0.1  # seconds between the pieces of a streamed answer
METHODS: t.Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]

app = fastapi.FastAPI(title="PRSNL, the lab's application")
app.add_middleware(
    CORSMiddleware,
    allow_origins=[origin for origin in os.environ.get("CORS_ORIGINS", "").split(",") if origin],
    allow_methods=["*"],
    allow_headers=["*"],
    allow_credentials=True,
)


class Message(BaseModel):
    role: str
    content: str


class Completion(BaseModel):
    model: str = MODEL
    messages: list[Message]
    stream: bool = False


class Note(BaseModel):
    text: str


def credential(name: str) -> str | None:
    """The password that systemd hands to this service, if it does."""
    path = pathlib.Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / name
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


def database() -> psycopg2.extensions.connection:
    return psycopg2.connect(
        os.environ["DATABASE_URL"], connect_timeout=5, password=credential("database_password")
    )


def cache() -> redis.Redis:
    return redis.from_url(
        os.environ["REDIS_URL"],
        socket_timeout=5,
        decode_responses=True,
        password=credential("redis_password"),
    )


@app.get("/api/health")
def health() -> JSONResponse:
    """Whether everything that is configured answers."""
    states = {}
    for name, variable, probe in (
        ("postgresql", "DATABASE_URL", lambda: database().close()),
        ("dragonfly", "REDIS_URL", lambda: cache().ping()),
    ):
        if variable not in os.environ:
            states[name] = "not configured"
            continue
        try:
            probe()
            states[name] = "ok"
        except (psycopg2.Error, redis.RedisError) as problem:
            states[name] = type(problem).__name__
    well = set(states.values()) <= {"ok", "not configured"}
    content = {"handler": "health", "status": "ok" if well else "degraded", **states}
    return JSONResponse(content, 200 if well else 503)


@app.post("/api/notes", status_code=201)
def write_note(note: Note) -> dict[str, t.Any]:
    """Keep a note in PostgreSQL, and its text in DragonflyDB."""
    connection = database()
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS notes (id bigserial PRIMARY KEY, text text NOT NULL)"
        )
        cursor.execute("INSERT INTO notes (text) VALUES (%s) RETURNING id", (note.text,))
        (number,) = cursor.fetchone() or (None,)
    connection.close()
    cache().set(f"note:{number}", note.text, ex=3600)
    return {"handler": "notes", "id": number, "text": note.text}


@app.get("/api/notes/{number}")
def read_note(number: int) -> dict[str, t.Any]:
    """A note as both have it."""
    connection = database()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT text FROM notes WHERE id = %s", (number,))
        row = cursor.fetchone()
    connection.close()
    if not row:
        raise fastapi.HTTPException(404, f"there is no note {number}")
    cached = cache().get(f"note:{number}")
    return {"handler": "notes", "id": number, "postgresql": row[0], "dragonfly": cached}


@app.get("/api/notes")
def list_notes() -> dict[str, t.Any]:
    """The newest notes."""
    connection = database()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('notes') IS NOT NULL")
        rows = []
        if cursor.fetchone() == (True,):
            cursor.execute("SELECT id, text FROM notes ORDER BY id DESC LIMIT 100")
            rows = cursor.fetchall()
    connection.close()
    return {"handler": "notes", "notes": [{"id": number, "text": text} for number, text in rows]}


@app.get("/api/ai/v1/models")
def models() -> dict[str, t.Any]:
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "prsnl"}
    return {"handler": "ai", "object": "list", "data": [model]}


async def pieces(name: str, words: list[str]) -> t.AsyncIterator[str]:
    """A completion as server-sent events, one word at a time."""
    for number, word in enumerate([*words, None]):
        delta = {} if word is None else {"content": word if number == 0 else f" {word}"}
        choice = {"index": 0, "delta": delta, "finish_reason": "stop" if word is None else None}
        chunk = {
            "id": name,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": MODEL,
            "choices": [choice],
        }
        yield f"data: {json.dumps(chunk)}\n\n"
        await asyncio.sleep(PIECE_DELAY)
    yield "data: [DONE]\n\n"


@app.post("/api/ai/v1/chat/completions")
async def complete(request: Completion) -> fastapi.Response:
    """Say again what the user said, as OpenAI's interface would."""
    words = f"You said: {request.messages[-1].content if request.messages else ''}".split()
    name = f"chatcmpl-{uuid.uuid4().hex}"
    if request.stream:
        # X-Accel-Buffering asks proxies to pass every piece on at once.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Handler": "ai"}
        return StreamingResponse(pieces(name, words), 200, headers, "text/event-stream")
    message = {"role": "assistant", "content": " ".join(words)}
    return JSONResponse(
        {
            "handler": "ai",
            "id": name,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": 0,
                "completion_tokens": len(words),
                "total_tokens": len(words),
            },
        },
        headers={"X-Handler": "ai"},
    )


@app.websocket("/api/ws")
async def talk(socket: fastapi.WebSocket) -> None:
    """Send every message back."""
    await socket.accept()
    try:
        while True:
            text = await socket.receive_text()
            await socket.send_json({"handler": "ws", "echo": text})
    except fastapi.WebSocketDisconnect:
        pass


@app.api_route("/api/autoagent/{path:path}", methods=METHODS)
async def autoagent(path: str) -> dict[str, str]:
    return {"handler": "autoagent", "path": path}


@app.api_route("/api/ai/{path:path}", methods=METHODS)
async def ai(path: str) -> dict[str, str]:
    return {"handler": "ai", "path": path}


@app.api_route("/api/{path:path}", methods=METHODS)
async def core(path: str) -> dict[str, str]:
    return {"handler": "core", "path": path}
