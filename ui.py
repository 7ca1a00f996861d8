"""The page: `python ui.py`. Layout and thin handlers; what a visitor sees is a `View`, kept for them alone."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import, which looks up two hosts otherwise

import gradio as gr
import uvicorn
from fastapi import FastAPI

from coach import page
from coach.coach import Coach
from coach.config import Settings
from coach.doctor import report
from coach.errors import CoachError, SettingsError
from coach.options import add_arguments, settings_of
from coach.replies import Replies, paced
from coach.serving import OnlyFromHere, listening
from coach.view import View

log = logging.getLogger(__name__)

HERE = Path(page.__file__).parent
EXAMPLES = (
    "Why do we need batch norm?",
    "Is dropout on or off when I test the model?",
    "My training loss falls but validation gets worse",
    "How do LSTMs remember things for so long?",
    "When would you not use deep learning?",
    "What does attention actually compute?",
)
PROMPTS = {"ask": "Ask about deep learning", "practise": "Answer in your own words, or ask what a word means"}
VERBS = ("suggest", "edit", "retry", "source", "quiz")
MAX_WAITING = 32  # visitors in the queue; more are told that the coach is busy
AT_ONCE = 4  # replies under way at the same time; the engine itself takes one after the other
Updates = dict[Any, Any]


class Page:
    """The Gradio page around one coach, which all visitors share."""

    def __init__(self, coach: Coach, describe: Callable[[], dict[str, Any]]) -> None:
        self.coach = coach
        self.describe = describe
        self.replies = Replies()
        with gr.Blocks(title="Interview Coach", fill_height=True, fill_width=True, delete_cache=(600, 600)) as demo:
            self.view = gr.State(View())
            self._layout()
            self._wire()
            demo.load(self._status, None, [self.status, self.timer], queue=False, show_progress="hidden")
            demo.unload(self._left)
        self.demo = demo.queue(max_size=MAX_WAITING)

    def _layout(self) -> None:
        self.bus = gr.HTML("", elem_id="bus", js_on_load=f"window.coachPage.connect({list(VERBS)}, trigger);")
        with gr.Row(elem_id="top"):
            gr.HTML("<h1>Interview Coach</h1>", elem_id="name")
            self.mode = gr.Radio(
                [("Ask", "ask"), ("Practise", "practise")],
                value="ask",
                label="What to do",
                show_label=False,
                container=False,
                elem_id="mode",
            )
            self.clear = gr.Button("New conversation", elem_id="clear", size="sm")
            self.status = gr.Button("starting", elem_id="status", size="sm")
        with gr.Column(visible=False, elem_id="state") as self.state:
            self.state_text = gr.Markdown(elem_id="state-text")
            self.state_close = gr.Button("Close", size="sm", elem_id="state-close")
        with gr.Column(elem_id="app"):
            with gr.Column(elem_id="talk"):
                with gr.Column(elem_id="welcome") as self.welcome:
                    gr.HTML(page.WELCOME, elem_id="what")
                    with gr.Column(elem_id="examples"):
                        self.examples = [gr.Button(text, size="sm") for text in EXAMPLES]
                    with gr.Row(elem_id="ways"):
                        self.practise_one = gr.Button(
                            "Practise one question", variant="primary", elem_id="practise-one"
                        )
                        self.surprise = gr.Button("Surprise me", elem_id="surprise")
                self.chat = gr.Chatbot(
                    visible=False,
                    elem_id="chat",
                    label="Conversation",
                    show_label=False,
                    container=False,
                    buttons=[],
                    layout="panel",
                    feedback_options=None,
                    group_consecutive_messages=False,
                    latex_delimiters=page.LATEX_DELIMITERS,
                )
            with gr.Column(elem_id="aside"):
                self.fold = gr.Button("Sources", elem_id="fold", size="sm", visible=False)
                self.side = gr.Markdown(
                    page.source_panel(None, 0), elem_id="side", latex_delimiters=page.LATEX_DELIMITERS
                )
            with gr.Column(elem_id="write"):
                with gr.Row(visible=False, elem_id="editing") as self.editing:
                    gr.HTML("Changing an earlier question; what followed it will be replaced.")
                    self.keep = gr.Button("Keep it as it was", size="sm", elem_id="keep")
                with gr.Row(elem_id="compose"):
                    self.composer = gr.Textbox(
                        label="Your question",
                        show_label=False,
                        container=False,
                        placeholder=PROMPTS["ask"],
                        lines=1,
                        max_lines=12,
                        autofocus=True,
                        elem_id="composer",
                    )
                    self.send = gr.Button("Send", variant="primary", elem_id="send")
                    self.stop = gr.Button("Stop", visible=False, elem_id="stop")
        self.timer = gr.Timer(1.0)

    def _wire(self) -> None:
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        focus = "() => window.coachPage.focus()"
        view, composer = self.view, self.composer
        self.moving = [
            view,
            composer,
            self.chat,
            self.side,
            self.fold,
            self.welcome,
            self.editing,
            self.send,
            self.stop,
        ]

        def reply(event: Callable[..., Any], handler: Callable[..., Any], inputs: list[Any]) -> None:
            event(
                handler, inputs, self.moving, concurrency_id="reply", concurrency_limit=AT_ONCE, **quiet
            ).then(None, js=focus)  # fmt: skip

        def at_once(event: Callable[..., Any], handler: Callable[..., Any], inputs: list[Any], js: str = focus) -> None:
            event(handler, inputs, self.moving, queue=False, **quiet).then(None, js=js)

        reply(composer.submit, self._sent, [view, composer])
        reply(self.send.click, self._sent, [view, composer])
        reply(self.bus.suggest, self._suggested, [view])
        reply(self.bus.retry, self._again, [view])
        for button in self.examples:
            reply(button.click, self._example, [view, button])
        at_once(self.bus.edit, self._edit, [view])
        at_once(self.keep.click, self._kept, [view])
        at_once(self.bus.source, self._opened, [view], "() => window.coachPage.reveal()")
        at_once(self.clear.click, self._cleared, [view])
        self.stop.click(self._stopped, None, None, queue=False, **quiet)
        self.timer.tick(self._status, None, [self.status, self.timer], queue=False, **quiet)
        self.status.click(self._state, None, [self.state, self.state_text], queue=False, **quiet)
        self.state_close.click(lambda: gr.update(visible=False), None, self.state, queue=False, **quiet)

    # What is shown

    def _shown(self, view: View, busy: bool = False) -> Updates:
        """The whole page for a view."""
        opened = None if view.opened is None else view.said[view.opened]
        count = len(opened.sources) if opened else 0
        return {
            self.view: view,
            self.chat: gr.update(value=page.chat(view.said), visible=bool(view.said)),
            self.welcome: gr.update(visible=not view.said),
            self.side: page.source_panel(opened, view.opened or 0),
            self.fold: gr.update(value=f"Sources ({count})" if count else "Sources", visible=bool(count)),
            self.editing: gr.update(visible=view.editing is not None),
            self.send: gr.update(visible=not busy),
            self.stop: gr.update(visible=busy),
        }

    def _reply(self, view: View, text: str, visitor: str | None, clear: bool = True) -> Iterator[Updates]:
        """Answer a message: the page after every batch of events; errors are told in the reply they ended."""
        stop = self.replies.begin(visitor or "")
        if stop is None:
            yield {self.view: gr.skip()}
            return
        try:
            view = view.sent(text)
            first = self._shown(view, busy=True)
            yield {**first, self.composer: ""} if clear else first
            opened = view.opened
            try:
                for events in paced(self.coach.ask(view.session, text, stop), stop):
                    view = view.heard(events)
                    now: Updates = {self.chat: page.chat(view.said)} if events else {self.stop: gr.skip()}
                    if view.opened != opened:
                        opened = view.opened
                        now = self._shown(view, busy=True)
                    yield now
                view = view.ended()
            except CoachError as error:
                view = view.failed(str(error))
            except Exception:
                yield self._shown(view.failed("Something went wrong in the coach; its log says what. Try again."))
                raise
            yield self._shown(view)
        finally:
            self.replies.end(visitor or "")

    # Handlers

    def _sent(self, view: View, text: str, request: gr.Request) -> Iterator[Updates]:
        if text.strip():
            yield from self._reply(view, text, request.session_hash)
        else:
            yield {self.view: gr.skip()}

    def _example(self, view: View, text: str, request: gr.Request) -> Iterator[Updates]:
        yield from self._reply(view, text, request.session_hash, clear=False)

    def _suggested(self, view: View, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        offers = view.said[-1].suggestions if view.said else ()
        (number,) = _numbers(event, 1)
        if number < len(offers):
            yield from self._reply(view, offers[number], request.session_hash, clear=False)

    def _again(self, view: View, request: gr.Request) -> Iterator[Updates]:
        if len(view.said) >= 2 and view.said[-2].before is not None:
            text = view.said[-2].text
            yield from self._reply(view.back_to(len(view.said) - 2), text, request.session_hash, clear=False)

    def _edit(self, view: View, event: gr.EventData, request: gr.Request) -> Updates:
        (number,) = _numbers(event, 1)
        if self.replies.under_way(request.session_hash or "") or number >= len(view.said):
            return {self.view: gr.skip()}
        view = replace(view, editing=number)
        return {self.view: view, self.composer: view.said[number].text, self.editing: gr.update(visible=True)}

    def _kept(self, view: View) -> Updates:
        view = replace(view, editing=None)
        return {self.view: view, self.composer: "", self.editing: gr.update(visible=False)}

    def _opened(self, view: View, event: gr.EventData) -> Updates:
        number, _, _ = _numbers(event, 3)
        if number < len(view.said) and view.said[number].sources:
            view = replace(view, opened=number)
        shown = self._shown(view)
        return {key: shown[key] for key in (self.view, self.side, self.fold)}

    def _cleared(self, view: View, request: gr.Request) -> Updates:
        self.replies.stop(request.session_hash or "")
        return self._shown(View(mode=view.mode))

    def _stopped(self, request: gr.Request) -> None:
        self.replies.stop(request.session_hash or "")

    def _left(self, request: gr.Request) -> None:
        self.replies.end(request.session_hash or "")

    def _status(self) -> tuple[Any, Any]:
        status = self.coach.status
        settled = "loading" not in (status.encoder, status.model)
        failed = "failed" in (status.encoder, status.model)
        kind = "failed" if failed else "ready" if settled else "loading"
        return gr.update(value=page.status_words(status), elem_classes=[kind]), gr.update(active=not settled)

    def _state(self) -> tuple[Any, str]:
        return gr.update(visible=True), page.state_words(self.describe())


def _numbers(event: gr.EventData, count: int) -> tuple[int, ...]:
    """The whole numbers that a control carried, such as "3/1/2"; raises `gr.Error` for anything else."""
    parts = str(getattr(event, "_data", {}).get("value", "")).split("/")
    if len(parts) != count or not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
        raise gr.Error("That control is out of date; reload the page.", print_exception=False)
    return tuple(int(part) for part in parts)


def application(coach: Coach, describe: Callable[[], dict[str, Any]] | None = None) -> FastAPI:
    """The web application: the page at `/` and the state as JSON at `/healthz`.

    `describe` says what runs where when the state in the header is clicked; by default it is what `doctor` says.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(OnlyFromHere)

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        status = coach.status
        return {"status": "ok", "encoder": status.encoder, "model": status.model, "message": status.message}

    mounted: FastAPI = gr.mount_gradio_app(
        app,
        Page(coach, describe or partial(report, coach, sample=False)).demo,
        path="/",
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css_paths=HERE / "page.css",
        head=f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        max_file_size="100mb",
    )
    return mounted


def serve(settings: Settings) -> None:
    """Open the page and serve it until Ctrl-C."""
    if (settings.ssl_certfile is None) != (settings.ssl_keyfile is None):
        raise SettingsError("For https give both --ssl-certfile and --ssl-keyfile.")
    bound = listening(settings.host, settings.port)
    app = application(Coach.load(settings))
    config = uvicorn.Config(
        app, log_level="warning", ssl_certfile=settings.ssl_certfile, ssl_keyfile=settings.ssl_keyfile
    )
    scheme = "https" if settings.ssl_certfile else "http"
    print(f"Interview Coach: {scheme}://{settings.host}:{bound.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
    uvicorn.Server(config).run(sockets=[bound])


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page; returns the exit status (1: an error that is explained)."""
    parser = argparse.ArgumentParser(prog="python ui.py", description="The interview coach in the browser.")
    add_arguments(parser)
    try:
        serve(settings_of(parser.parse_args(argv)))
    except CoachError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
