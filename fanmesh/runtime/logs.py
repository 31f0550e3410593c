"""Logs: one JSON object a line on stderr, or coloured columns where a person reads them.

structlog and not the standard library alone, because a line without its request and trace ids is of no use, and bound values
carry them from call to call explicitly: a context variable would be one more ambient thing to lose between tasks. Lines of
libraries that use `logging` come out in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from fanmesh.runtime import environ

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("auto", "json", "console")

COMMON: Final[tuple[Processor, ...]] = (
    structlog.stdlib.add_logger_name,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


TRACEBACKS: Final = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
"""Without local variables, which both renderers print by default: a worker's are the caller's payload."""


def configure(stream: TextIO | None = None) -> None:
    """Set up logging for this process, which must be ours: it replaces the root logger's handlers.

    FANMESH_LOG_LEVEL: debug, info (default), warning, error. FANMESH_LOG_FORMAT: json, console, or auto (default: console if
    `stream`, stderr by default, is a terminal). BadVariable if one is something else.
    """
    out = stream if stream is not None else sys.stderr
    level = getattr(logging, environ.choice("FANMESH_LOG_LEVEL", "info", LEVELS).upper())
    form = environ.choice("FANMESH_LOG_FORMAT", "auto", FORMATS)
    pretty = out.isatty() if form == "auto" else form == "console"
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if pretty
        else [TRACEBACKS, structlog.processors.JSONRenderer(sort_keys=False)]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=COMMON, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*COMMON, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> FilteringBoundLogger:
    """The logger of a part of the program."""
    made: FilteringBoundLogger = structlog.get_logger(name)
    return made


def of_request(log: FilteringBoundLogger, request_id: str, trace_id: str = "") -> FilteringBoundLogger:
    """The same logger, saying for which request; `trace_id` only where there is one."""
    return log.bind(request_id=request_id, trace_id=trace_id) if trace_id else log.bind(request_id=request_id)
