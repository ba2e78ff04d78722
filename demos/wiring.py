"""Connect page events to handlers: a handler takes the tab's session and returns a dict {component: value}; an error
becomes a message on screen and a line in the log."""

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

# Options of a handler's event. None is an API endpoint; heavy ones run one at a time, in a queue for all users.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
QUEUED = {"concurrency_id": "heavy", "concurrency_limit": 1}


def heavy(status: Any) -> dict[str, Any]:
    """Options of a heavy handler; its place in the queue and its time are shown over the component `status`."""
    return {"api_visibility": "private", "show_progress": "minimal", "show_progress_on": status, **QUEUED}


def on(
    sessions: Sessions, event: Callable, handler: Callable, inputs: Sequence[Any], outputs: Sequence[Any], **how: Any
) -> Any:
    """Let `handler` answer an event of the page.

    handler: a function or generator (session, *values) of dicts {component: value}; what a dict leaves out stays as it
    is, so {} changes nothing. inputs: components, whose values the handler gets; or the canvas, whose `take` puts the
    values of its `components` into the session. outputs: every component that may change. how: of the Gradio event;
    PRIVATE if not given. Returns the Gradio event.
    """
    components = [component for one in inputs for component in getattr(one, "components", [one])]

    def read(session, values):
        values, own = iter(values), []
        for one in inputs:
            if hasattr(one, "components"):
                one.take(session, *[next(values) for _ in one.components])
            else:
                own.append(next(values))
        return own

    answer = answering(sessions, handler, for_people, read)
    return event(answer, components, outputs, **(how or PRIVATE))


def endpoint(sessions: Sessions, handler: Callable) -> Callable:
    """Wrap a handler for API clients: inputs have its parameters' names, and errors are the toolkit's own messages."""
    answer = answering(sessions, handler, _for_programs, lambda session, values: values)
    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = list(inspect.signature(handler).parameters.values())[1:]
    answer.__signature__ = inspect.Signature([first, *named])
    return answer


def answering(
    sessions: Sessions, handler: Callable, say: Callable[[Exception], str], read: Callable[..., Sequence[Any]]
) -> Callable:
    """The function that Gradio calls: it finds the session, reads the inputs, and reports errors."""

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
            session = sessions.of(request)
            return _updates(handler(session, *read(session, values)))

    def steps(request: gr.Request, *values):
        with errors_said():
            session = sessions.of(request)
            # Closed when the run is cancelled or the tab is closed: the work stops.
            with contextlib.closing(handler(session, *read(session, values))) as all_updates:
                for updates in all_updates:
                    session.touch()
                    yield _updates(updates)

    answer = steps if inspect.isgeneratorfunction(handler) else call
    answer.__name__ = handler.__name__
    return answer


def stops(button: gr.Button, runs: Sequence[Any], status: Any, text: str) -> None:
    """Let a button cancel these events, then show `text`: before, an update under way would overwrite it."""
    stopped = button.click(None, cancels=runs, api_visibility="private")
    stopped.then(lambda: note(text), None, status, **PRIVATE)


def _updates(updates):
    """Skip for an empty dict, which Gradio would take for a value."""
    return gr.skip() if isinstance(updates, dict) and not updates else updates


def _for_programs(error):
    return str(error) if isinstance(error, (ToolkitError, Sorry)) else for_people(error)


def _toast(text):
    return gr.Error(text, duration=TOAST_SECONDS, print_exception=False)
