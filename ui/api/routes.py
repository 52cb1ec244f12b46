"""The routes of the address: models, chat completions, completions. Knows no model."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse

from core.errors import UserError
from ui.api.answers import (
    Gone,
    chat_answer,
    chat_stream,
    completion_answer,
    completion_stream,
    find_chat_model,
)
from ui.api.fields import ApiError, read_chat, read_completion
from ui.api_access import ApiAccess
from ui.services import Services

_MOST_WAITING = 64  # requests that are answered or wait for it
_THREADS = 32  # that answer them, each at most a row of the step that one of them computes for all
_LOOKED_EVERY_S = 0.5  # for whether somebody still waits
Work = Callable[[object, Gone], Any]


def build_api(services: Services) -> APIRouter:
    """Return the routes, which answer whoever has the key while the door is open."""
    api = _Api(services)
    router = APIRouter()
    router.add_api_route("/v1/models", api.list_models, methods=["GET"])
    router.add_api_route("/v1/chat/completions", api.chat, methods=["POST"])
    router.add_api_route("/v1/completions", api.complete, methods=["POST"])
    router.add_api_route("/health", api.tell_health, methods=["GET"])
    return router


class _Api:
    """What the routes do."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.places = threading.BoundedSemaphore(_MOST_WAITING)
        # threads of our own: the page's are not to wait for programs
        self.limiter = CapacityLimiter(_THREADS)

    async def tell_health(self) -> Any:
        return {"status": "ok"} if self.services.api.is_open else _refused(_shut())

    async def list_models(self, request: Request) -> Any:
        return await self._answered(request, self._listed, has_body=False)

    async def chat(self, request: Request) -> Any:
        return await self._answered(request, self._chat)

    async def complete(self, request: Request) -> Any:
        return await self._answered(request, self._complete)

    def _models(self) -> list[str]:
        return [name for _, name in self.services.model_choices()]

    def _listed(self, _body: object, _is_gone: Gone) -> dict[str, Any]:
        facts = {"object": "model", "created": 0, "owned_by": "fuata"}
        return {"object": "list", "data": [{"id": name, **facts} for name in self._models()]}

    def _chat(self, body: object, is_gone: Gone) -> Any:
        asked = read_chat(body)
        model = find_chat_model(self.services.model_cache.get, asked.model, self._models())
        return chat_stream(model, asked) if asked.streams else chat_answer(model, asked, is_gone)

    def _complete(self, body: object, is_gone: Gone) -> Any:
        asked = read_completion(body)
        model = find_chat_model(self.services.model_cache.get, asked.model, self._models())
        if asked.streams:
            return completion_stream(model, asked)
        return completion_answer(model, asked, is_gone)

    async def _answered(self, request: Request, work: Work, *, has_body: bool = True) -> Any:
        """Answer a request with what ``work`` makes of its body, or with what is wrong with it."""
        try:
            _check_access(request, self.services.api)
            body = await _body(request) if has_body else None
            if not self.places.acquire(blocking=False):
                raise ApiError("Too many requests wait already: try again", 429, code="rate_limit")
            return await self._worked(request, work, body)
        except ApiError as error:
            return _refused(error)
        except UserError as error:
            return _refused(ApiError(str(error)))

    async def _worked(self, request: Request, work: Work, body: object) -> Any:
        """Do the work, and let go of the place when it is done, of a stream when that has ended."""
        streams = False
        gone = threading.Event()
        watcher = asyncio.create_task(_watch(request, gone))
        try:
            made = await to_thread.run_sync(work, body, gone.is_set, limiter=self.limiter)
            if isinstance(made, dict):
                return JSONResponse(made)
            streams = True
        finally:
            watcher.cancel()
            if not streams:
                self.places.release()
        return _Stream(_events(made, self.limiter), self.places)


class _Stream(StreamingResponse):
    """A stream that lets go of its place however it ends, also where it never began."""

    def __init__(self, events: AsyncIterator[str], places: threading.BoundedSemaphore) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )
        self._places = places

    async def __call__(self, *given: Any) -> None:
        try:
            await super().__call__(*given)
        finally:
            self._places.release()


async def _watch(request: Request, gone: threading.Event) -> None:
    """Note when nobody waits for the answer any more."""
    while not await request.is_disconnected():  # noqa: ASYNC110 - it tells of itself no other way
        await asyncio.sleep(_LOOKED_EVERY_S)
    gone.set()


def _shut() -> ApiError:
    return ApiError("The address for programs is off: switch it on on the Chat screen, or start "
                    "Fuata with --api", 403, code="address_off")  # fmt: skip


def _check_access(request: Request, access: ApiAccess) -> None:
    if not access.is_open:
        raise _shut()
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not access.key.fits(given.strip()):
        raise ApiError("The key is wrong or missing: send Authorization: Bearer KEY", 401,
                       code="invalid_api_key")  # fmt: skip


async def _body(request: Request) -> object:
    try:
        body: object = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ApiError("the body is no JSON") from error
    return body


async def _events(pieces: Iterator[Any], limiter: CapacityLimiter) -> AsyncIterator[str]:
    """Yield pieces as server-sent events, each made in one of our own threads."""
    try:
        while (piece := await to_thread.run_sync(next, pieces, None, limiter=limiter)) is not None:
            yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"
        yield "data: [DONE]\n\n"
    except (ApiError, UserError) as error:
        told = error if isinstance(error, ApiError) else ApiError(str(error))
        yield f"data: {json.dumps(_error_object(told), ensure_ascii=False)}\n\n"


def _refused(error: ApiError) -> JSONResponse:
    return JSONResponse(_error_object(error), status_code=error.status)


def _error_object(error: ApiError) -> dict[str, Any]:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    message = str(error).rstrip(".") + "."
    return {"error": {"message": message, "type": kind, "param": error.param or None,
                      "code": error.code or None}}  # fmt: skip
