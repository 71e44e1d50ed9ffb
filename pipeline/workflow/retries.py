"""Whether a node that failed is tried again, when, and what a try may know of the one before."""

from __future__ import annotations

from pipeline.workflow import expressions, templating
from pipeline.workflow.expressions import EXPR
from pipeline.workflow.model import Retry
from pipeline.workflow.nodes import FAILED, Node
from pipeline.workflow.scope import timestamp


def verdict(retry: Retry, tries: list[Node], now: float, deadline: float | None) -> str | float:
    """Say why there is no further try, or else the time at which it may begin (all times in seconds since 1970).

    The rules and their messages are Argo's, but for one: a failure that is not to be retried is told at once, not
    after the back-off. Raises `ExpressionError` or `TemplateError` for a strategy that cannot be evaluated.
    """
    last = tries[-1]
    if deadline is not None and now >= deadline:
        return f"retry exceeded workflow deadline {timestamp(deadline)}"
    begin, futile = _backoff(retry, tries, now)
    if futile:
        return futile
    if retry.policy not in ("Always", "OnFailure" if last.phase == FAILED else "OnError"):
        return last.message
    if retry.limit is not None and len(tries) > templating.whole_number(retry.limit, "retryStrategy.limit"):
        return "No more retries left"
    if retry.expression:
        known = {"lastRetry": _facts(last), "retries": str(len(tries) - 1)}
        if not expressions.evaluate_bool(retry.expression, EXPR, known):
            return "retryStrategy.expression evaluated to false"
    return begin


def _backoff(retry: Retry, tries: list[Node], now: float) -> tuple[float, str]:
    """When the next try may begin, and why waiting for it would be futile, if it would."""
    if retry.backoff_duration is None:
        return 0.0, ""
    wait = templating.seconds(retry.backoff_duration, "backoff.duration")
    if retry.backoff_factor is not None:
        factor = templating.whole_number(retry.backoff_factor, "backoff.factor")
        wait *= float(factor) ** min(len(tries) - 1, 100) if factor > 0 else 1
    if retry.backoff_cap is not None:
        wait = min(wait, templating.seconds(retry.backoff_cap, "backoff.cap"))
    begin = (tries[-1].finished_at or 0.0) + wait
    if retry.backoff_max_duration is not None:
        longest = templating.seconds(retry.backoff_max_duration, "backoff.maxDuration")
        end = (tries[0].started_at or tries[0].created_at) + longest
        if now > end:
            return begin, "Max duration limit exceeded"
        if begin > end:
            return begin, "Backoff would exceed max duration limit"
    return begin, ""


def tags(tries: list[Node]) -> dict[str, str | None]:
    """The tags `retries` and `lastRetry.*` inside a try; the first has none before it."""
    ended = [attempt for attempt in tries if attempt.fulfilled]
    facts = {"exitCode": "0", "status": "", "message": "", "duration": "0"}
    if ended:
        facts = _facts(ended[-1]) | ({"exitCode": "0"} if ended[-1].exit_code is None else {})
    return {"retries": str(len(ended)), **{f"lastRetry.{key}": value for key, value in facts.items()}}


def _facts(last: Node) -> dict[str, str]:
    """`lastRetry` of a retry expression: all texts; an exit code that nobody knows is -1."""
    ran = (last.finished_at or 0.0) - (last.started_at or last.finished_at or 0.0)
    code = -1 if last.exit_code is None else last.exit_code
    return {"exitCode": str(code), "status": last.phase, "message": last.message, "duration": f"{ran:g}"}
