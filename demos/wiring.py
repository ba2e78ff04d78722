"""From an event of the page to its handler: the tab's session goes in, a dict {component: value} comes out, and an
error is a sentence on screen and a line in the log."""

import contextlib
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from look import note
from session import Sessions
from words import Sorry, for_people, for_the_log

from toolkit.errors import ToolkitError

log = logging.getLogger("page")
TOAST_SECONDS = 8

# How a handler runs. None is an endpoint; heavy ones wait for one another, in a queue that everyone shares.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
QUEUED = {"concurrency_id": "heavy", "concurrency_limit": 1}


def heavy(status: Any) -> dict[str, Any]:
    """Of a heavy handler, whose place in the queue and seconds are shown over the component `status`."""
    return {"api_visibility": "private", "show_progress": "minimal", "show_progress_on": status, **QUEUED}


def on(
    sessions: Sessions, event: Callable, handler: Callable, inputs: Sequence[Any], outputs: Sequence[Any], **how: Any
) -> Any:
    """Let `handler` answer an event of the page.

    handler: a function or generator (session, *values) of dicts {component: value}; what a dict leaves out stays as it
    is, so {} changes nothing. inputs: components, or what stands for several, such as the canvas: it has `components`,
    and its `read(*values)` makes one value of theirs. outputs: every component that may change. how: of the Gradio
    event; PRIVATE if not given. Returns the Gradio event.
    """
    components = [component for one in inputs for component in getattr(one, "components", [one])]

    def read(values):
        values = iter(values)
        return [
            one.read(*[next(values) for _ in one.components]) if hasattr(one, "components") else next(values)
            for one in inputs
        ]

    answer = answering(sessions, handler, for_people, read)
    return event(answer, components, outputs, **(how or PRIVATE))


def endpoint(sessions: Sessions, handler: Callable) -> Callable:
    """The same for programs: values go in and come out in order, by name, and errors are the toolkit's own lines."""
    answer = answering(sessions, handler, _for_programs, list)
    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = list(inspect.signature(handler).parameters.values())[1:]
    answer.__signature__ = inspect.Signature([first, *named])
    return answer


def answering(
    sessions: Sessions, handler: Callable, say: Callable[[Exception], str], read: Callable[..., Sequence[Any]]
) -> Callable:
    """What Gradio calls: finds the session, reads the inputs, and says what went wrong."""

    @contextlib.contextmanager
    def errors_said():
        try:
            yield
        except (ToolkitError, Sorry) as error:
            log.warning("%s: %s", handler.__name__, for_the_log(error))
            raise _toast(say(error)) from error
        except Exception as error:
            log.exception("%s: %s", handler.__name__, for_the_log(error))
            raise _toast(say(error)) from error

    def call(request: gr.Request, *values):
        with errors_said():
            return _updates(handler(sessions.of(request), *read(values)))

    def steps(request: gr.Request, *values):
        with errors_said():
            session = sessions.of(request)
            # Closed when cancelled, or when the tab was: the work stops there.
            with contextlib.closing(handler(session, *read(values))) as all_updates:
                for updates in all_updates:
                    session.touch()
                    yield _updates(updates)

    answer = steps if inspect.isgeneratorfunction(handler) else call
    answer.__name__ = handler.__name__
    return answer


def stops(button: gr.Button, runs: Sequence[Any], status: Any, text: str) -> None:
    """A button that stops these events, and says so only then: an update under way would overwrite it."""
    stopped = button.click(None, cancels=runs, api_visibility="private")
    stopped.then(lambda: note(text), None, status, **PRIVATE)


def _updates(updates):
    """Gradio takes an empty dict for a value."""
    return gr.skip() if isinstance(updates, dict) and not updates else updates


def _for_programs(error):
    return str(error) if isinstance(error, (ToolkitError, Sorry)) else for_people(error)


def _toast(text):
    return gr.Error(text, duration=TOAST_SECONDS, print_exception=False)
