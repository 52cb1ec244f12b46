"""The routes of the address: models, chat completions, completions. Knows no model."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from core.errors import UserError
from ui.api.answers import (
    chat_answer,
    chat_stream,
    completion_answer,
    completion_stream,
    find_chat_model,
)
from ui.api.fields import ApiError, read_chat, read_completion
from ui.api.key import ApiKey
from ui.services import Services

_MOST_WAITING = 64  # requests that are answered or wait for it


def build_api(services: Services, key: ApiKey) -> APIRouter:
    """Return the routes, which answer whoever has the key."""
    api = _Api(services, key)
    router = APIRouter()
    router.add_api_route("/v1/models", api.list_models, methods=["GET"])
    router.add_api_route("/v1/chat/completions", api.chat, methods=["POST"])
    router.add_api_route("/v1/completions", api.complete, methods=["POST"])
    router.add_api_route("/health", _health, methods=["GET"])
    return router


async def _health() -> dict[str, str]:
    return {"status": "ok"}


class _Api:
    """What the routes do."""

    def __init__(self, services: Services, key: ApiKey) -> None:
        self.services, self.key = services, key
        self.places = threading.BoundedSemaphore(_MOST_WAITING)

    async def list_models(self, request: Request) -> Any:
        return await self._answered(request, self._listed, has_body=False)

    async def chat(self, request: Request) -> Any:
        return await self._answered(request, self._chat)

    async def complete(self, request: Request) -> Any:
        return await self._answered(request, self._complete)

    def _models(self) -> list[str]:
        return [name for _, name in self.services.model_choices()]

    def _listed(self, _: object) -> dict[str, Any]:
        facts = {"object": "model", "created": 0, "owned_by": "fuata"}
        return {"object": "list", "data": [{"id": name, **facts} for name in self._models()]}

    def _chat(self, body: object) -> Any:
        asked = read_chat(body)
        model = find_chat_model(self.services.model_cache.get, asked.model, self._models())
        return chat_stream(model, asked) if asked.streams else chat_answer(model, asked)

    def _complete(self, body: object) -> Any:
        asked = read_completion(body)
        model = find_chat_model(self.services.model_cache.get, asked.model, self._models())
        return completion_stream(model, asked) if asked.streams else completion_answer(model, asked)

    async def _answered(
        self, request: Request, work: Callable[[object], Any], *, has_body: bool = True
    ) -> Any:
        """Answer a request with what ``work`` makes of its body, or with what is wrong with it."""
        try:
            _check_key(request, self.key)
            body = await _body(request) if has_body else None
            if not self.places.acquire(blocking=False):
                raise ApiError("Too many requests wait already: try again", 429, code="rate_limit")
            return await self._worked(work, body)
        except ApiError as error:
            return _refused(error)
        except UserError as error:
            return _refused(ApiError(str(error)))

    async def _worked(self, work: Callable[[object], Any], body: object) -> Any:
        """Do the work, and let go of the place when it is done, of a stream when that has ended."""
        streams = False
        try:
            made = await run_in_threadpool(work, body)
            if isinstance(made, dict):
                return JSONResponse(made)
            streams = True
        finally:
            if not streams:
                self.places.release()
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(
            _events(made, self.places), media_type="text/event-stream", headers=headers
        )


def _check_key(request: Request, key: ApiKey) -> None:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.fits(given.strip()):
        raise ApiError("The key is wrong or missing: send Authorization: Bearer KEY", 401,
                       code="invalid_api_key")  # fmt: skip


async def _body(request: Request) -> object:
    try:
        body: object = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ApiError("the body is no JSON") from error
    return body


def _events(pieces: Iterator[Any], places: threading.BoundedSemaphore) -> Iterator[str]:
    """Yield pieces as server-sent events; who goes away in between frees the place."""
    try:
        for piece in pieces:
            yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"
        yield "data: [DONE]\n\n"
    except (ApiError, UserError) as error:
        told = error if isinstance(error, ApiError) else ApiError(str(error))
        yield f"data: {json.dumps(_error_object(told), ensure_ascii=False)}\n\n"
    finally:
        places.release()


def _refused(error: ApiError) -> JSONResponse:
    return JSONResponse(_error_object(error), status_code=error.status)


def _error_object(error: ApiError) -> dict[str, Any]:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    message = str(error).rstrip(".") + "."
    return {"error": {"message": message, "type": kind, "param": error.param or None,
                      "code": error.code or None}}  # fmt: skip
