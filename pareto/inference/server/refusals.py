"""What a client did wrong, told in the shape that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pareto.errors import ParetoError
from pareto.inference.server.wire import Chat, Error, ErrorBody, Opinion, Wire, param_of, said_of


class Refusal(Exception):
    """A request that is not served, and why."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Say it.

        Args:
            status: of HTTP, 400 to 499, or 503.
            message: what was wrong, where, and what would be right.
            param: the field that it is about, as a path with dots.
            code: a word for programs.
            retry_after: seconds after which the same request may be served.
        """
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_after = status, message, param, code, retry_after

    def response(self) -> JSONResponse:
        """As it goes over the wire."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(self.retry_after + 0.5)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status == HTTPStatus.REQUEST_TIMEOUT:
            headers["Connection"] = "close"
        return JSONResponse(error(self.status, self.message, self.param, self.code), self.status, headers)


def error(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """OpenAI's shape of an error."""
    kind = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}
    body = ErrorBody(message=message, type=kind.get(status, "invalid_request_error"), param=param, code=code)
    return Error(error=body).model_dump()


def install(app: FastAPI) -> None:
    """Let every error of an application leave it in this shape."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, e: Refusal) -> JSONResponse:
        return e.response()

    @app.exception_handler(ParetoError)
    async def misused(_: Request, e: ParetoError) -> JSONResponse:
        return Refusal(400, str(e)).response()

    @app.exception_handler(RequestValidationError)
    async def misfit(request: Request, e: RequestValidationError) -> JSONResponse:
        asked = Opinion if request.url.path.endswith("/feedback") else Chat
        return _misfit(e.errors(), e.body, asked).response()

    @app.exception_handler(HTTPException)
    async def routed(request: Request, e: HTTPException) -> JSONResponse:
        bad = "not UTF-8" if isinstance(e.__cause__, UnicodeDecodeError) else "too deeply nested, or a number too long"
        said = {
            404: f"there is no {request.url.path} here; see /openapi.json",
            405: f"{request.url.path} does not take {request.method}",
            400: f"the body is not JSON that can be read: {bad}",
        }
        code = "invalid_json" if e.status_code == HTTPStatus.BAD_REQUEST else None
        answer = Refusal(e.status_code, said.get(e.status_code, str(e.detail)), code=code).response()
        answer.headers.update(e.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def failed(_: Request, e: Exception) -> JSONResponse:  # uvicorn logs it
        return JSONResponse(error(500, "the server failed on this request; its log has more"), 500)


def _misfit(errors: Sequence[Mapping[str, Any]], body: Any, asked: type[Wire]) -> Refusal:
    first = errors[0]
    if first["type"] == "json_invalid":
        where = f" at character {first['loc'][-1] + 1}" if isinstance(first["loc"][-1], int) else ""
        return Refusal(400, f"the body is not JSON: {first['ctx']['error']}{where}", code="invalid_json")
    if isinstance(body, bytes):
        return Refusal(400, "the body is not JSON: send it with Content-Type: application/json", code="invalid_json")
    first = _furthest(errors, body)
    param = param_of(first, body)
    return Refusal(400, said_of(first, param, asked), param=param, code=str(first["type"]))


def _furthest(errors: Sequence[Mapping[str, Any]], body: Any) -> Mapping[str, Any]:
    """Of what is wrong with the first field what lies deepest: of a union's branches the one that was meant."""
    where = [(param_of(e, body) or "").split(".") for e in errors]
    of_first = [i for i, path in enumerate(where) if path[: len(where[0])] == where[0]]
    return errors[max(of_first, key=lambda i: len(where[i]))]
