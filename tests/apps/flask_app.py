"""A small Flask application: a page, a form, a streamed answer."""

from __future__ import annotations

from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/")
def page() -> str:
    return f"flask at {request.script_root or '/'}"


@app.post("/form")
def form() -> dict[str, str]:
    return {"name": request.form["name"]}


@app.get("/stream")
def stream() -> Response:
    return Response((f"{number} " for number in range(3)), mimetype="text/plain")
