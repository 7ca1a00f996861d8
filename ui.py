"""The page: `python ui.py`. Layout and thin handlers; what a visitor sees is a `View`, kept for them alone."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import, which looks up two hosts otherwise

import gradio as gr
from fastapi import FastAPI

from coach import page
from coach.coach import Coach
from coach.config import Settings
from coach.doctor import report
from coach.errors import CoachError
from coach.events import Event, Graded, SourcesFound
from coach.layout import Layout
from coach.options import add_arguments, settings_of
from coach.practice import Practice
from coach.replies import Replies, paced
from coach.serving import OnlyFromHere, listening, web_server
from coach.session import Session
from coach.spoken import Spoken
from coach.view import View

log = logging.getLogger(__name__)

HERE = Path(page.__file__).parent
MAX_WAITING = 32  # visitors in the queue; more are told that the coach is busy
AT_ONCE = 4  # replies under way at the same time; the engine itself takes one after the other
MAX_FILE_SIZE = "100mb"  # five minutes of 16-bit stereo at 48 kHz are 58 MB; longer files are told so
FIRST = (SourcesFound, Graded)  # shown before the words that follow them
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
FOCUS = "() => window.coachPage.focus()"
Updates = dict[Any, Any]
Events = Callable[[Session, str, threading.Event], Iterator[Event]]


class Page:
    """The Gradio page around one coach, which all visitors share."""

    def __init__(self, coach: Coach, spoken: Spoken, describe: Callable[[], dict[str, Any]]) -> None:
        self.coach = coach
        self.spoken = spoken
        self.describe = describe
        self.practice = Practice(coach)
        self.replies = Replies()
        with gr.Blocks(title="Interview Coach", fill_height=True, fill_width=True, delete_cache=(600, 600)) as demo:
            self.parts = Layout(self.practice.topics(), self.practice.levels(), spoken.said)
            self.nothing: Updates = {self.parts.view: gr.skip()}
            self._wire_ask()
            self._wire_practice()
            self._wire_speech()
            self._wire_rest(demo)
        self.demo = demo.queue(max_size=MAX_WAITING)

    # Which control does what

    def _reply_to(self, event: Callable[..., Any], handler: Callable[..., Any], *inputs: Any) -> None:
        """Something that is answered with a stream."""
        shared = {"concurrency_id": "reply", "concurrency_limit": AT_ONCE}
        event(handler, [self.parts.view, *inputs], self.parts.told(), **shared, **QUIET).then(None, js=FOCUS)

    def _at_once(self, event: Callable[..., Any], step: Callable[..., Any], *inputs: Any, js: str = FOCUS) -> None:
        """Something that is done without the model, past the queue."""
        event(step, [self.parts.view, *inputs], self.parts.told(), queue=False, **QUIET).then(None, js=js)

    def _wire_ask(self) -> None:
        parts = self.parts
        for event in (parts.composer.submit, parts.send.click):
            self._reply_to(event, self._sent, parts.composer)
        for button in parts.examples:
            self._reply_to(button.click, self._example, button)
        self._reply_to(parts.bus.suggest, self._suggested)
        self._reply_to(parts.bus.retry, self._retried)
        self._at_once(parts.bus.edit, self._edit)
        self._at_once(parts.keep.click, self._kept)
        self._at_once(parts.bus.source, self._opened, js="() => window.coachPage.reveal()")
        self._at_once(parts.clear.click, self._cleared)

    def _wire_practice(self) -> None:
        parts, practice = self.parts, self.practice
        self._at_once(parts.mode.input, self._mode, parts.mode)
        self._at_once(parts.practise_one.click, self._step(lambda view: replace(view, mode="practise")))
        for button in (parts.start, parts.next):
            self._at_once(button.click, self._step(practice.begin), parts.topic, parts.level, parts.style)
        for button in (parts.surprise, parts.any_question):
            self._at_once(button.click, self._step(lambda view, style: practice.begin(view, style=style)), parts.style)
        self._at_once(parts.hear.click, self._step(practice.spoken_answer), js="() => window.coachPage.hear()")
        for button, step in (
            (parts.hint, practice.hint),
            (parts.model_answer, practice.model_answer),
            (parts.again, practice.again),
            (parts.follow_up, practice.follow_up),
            (parts.finish, practice.finish),
        ):
            self._at_once(button.click, self._step(step))
        self._at_once(parts.bus.back, self._back)
        self._at_once(parts.bus.quiz, self._carried(lambda view, value: practice.quiz(view, _number(value))))
        self._at_once(parts.bus.contest, self._carried(practice.contest))
        self._at_once(parts.bus.point, self._carried(practice.again))
        self._reply_to(parts.bus.claim, self._claimed)
        self._reply_to(parts.rewrite.click, self._rewritten)

    def _wire_speech(self) -> None:
        parts = self.parts
        listening = {"concurrency_id": "listen", "concurrency_limit": 1, **QUIET}
        parts.bus.listen(self.spoken.prepare, None, None, queue=False, **QUIET)
        parts.upload.upload(self._heard, [parts.view, parts.upload], parts.told(), **listening).then(None, js=FOCUS)

    def _wire_rest(self, demo: gr.Blocks) -> None:
        parts = self.parts
        state = [parts.status, parts.timer]
        demo.load(self._status, None, state, queue=False, **QUIET)
        demo.unload(self._left)
        parts.timer.tick(self._status, None, state, queue=False, **QUIET)
        parts.stop.click(self._stopped, None, None, queue=False, **QUIET)
        parts.status.click(self._state, None, [parts.state, parts.state_text], queue=False, **QUIET)
        parts.state_close.click(lambda: gr.update(visible=False), None, parts.state, queue=False, **QUIET)

    # What is shown

    def _shown(self, view: View, busy: bool = False) -> Updates:
        """The whole page for a view."""
        return self.parts.shown(view, self.practice.panel(view), busy)

    def _reply(
        self,
        view: View,
        text: str,
        request: gr.Request,
        clear: bool = False,
        asks: bool = False,
        events: Events | None = None,
    ) -> Iterator[Updates]:
        """Answer a message: the page after every batch of events; errors are told in the reply they ended.

        `clear` empties the composer; `asks` makes the message a question even in practice; `events` answer something
        else than a message.
        """
        parts, visitor = self.parts, request.session_hash or ""
        running = self.replies.begin(visitor)
        if running is None:
            yield self.nothing
            return
        try:
            asks = asks or not view.answering
            basis = None if asks else self.practice.basis(view)[0]
            view = view.objected(text) if events else view.sent(text, asks, basis)
            respond: Events = events or (self.coach.ask if asks else self.coach.respond)
            first = self._shown(view, busy=True)
            yield {**first, parts.composer: gr.update(**first[parts.composer], value="")} if clear else first
            beside = (view.opened, view.card)
            try:
                for batch in paced(respond(view.session, text, running.stop), running.stop, closing=FIRST):
                    view = view.heard(batch)
                    now: Updates = {parts.chat: page.chat(view.said)} if batch else {parts.stop: gr.skip()}
                    if beside != (view.opened, view.card):
                        beside, running.turned = (view.opened, view.card), False
                        now = self._shown(view, busy=True)
                    yield now
                view = self.practice.taken_up(view.ended())
            except CoachError as error:
                view = view.failed(str(error))
            except Exception:  # a fault of ours must not cost the visitor what was said so far
                log.exception("a reply failed")
                view = view.failed("Something went wrong in the coach; its log says what. Try again.")
            if running.turned:
                view = replace(view, opened=running.opened)
            yield self._shown(View(mode=view.mode) if running.discarded else view)
        finally:
            self.replies.end(visitor)

    # Handlers of Ask

    def _sent(self, view: View, text: str, request: gr.Request) -> Iterator[Updates]:
        if not text.strip():
            yield self.nothing
            return
        try:
            begun = None if self._busy(request) else self.practice.wished(view, text)
        except CoachError:
            begun = None  # the reply will tell what is amiss
        if begun is None:
            yield from self._reply(view, text, request, clear=True)
        else:
            shown = self._shown(begun)
            yield {**shown, self.parts.composer: gr.update(**shown[self.parts.composer], value="")}

    def _example(self, view: View, text: str, request: gr.Request) -> Iterator[Updates]:
        yield from self._reply(view, text, request, asks=True)

    def _suggested(self, view: View, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        offers = view.said[-1].suggestions if view.said else ()
        number = _number(_value(event))
        if number < len(offers):
            yield from self._reply(view, offers[number], request, asks=True)
        else:
            yield self.nothing

    def _retried(self, view: View, request: gr.Request) -> Iterator[Updates]:
        number = max((n for n, said in enumerate(view.said) if said.before and said.speaker == "user"), default=None)
        if number is None:
            yield self.nothing
        else:
            yield from self._reply(view.back_to(number), view.said[number].text, request)

    def _edit(self, view: View, event: gr.EventData, request: gr.Request) -> Updates:
        number = _number(_value(event))
        if self._busy(request) or number >= len(view.said):
            return self.nothing
        shown = self._shown(replace(view, editing=number))
        return {**shown, self.parts.composer: view.said[number].text}

    def _kept(self, view: View) -> Updates:
        return {**self._shown(replace(view, editing=None)), self.parts.composer: ""}

    def _opened(self, view: View, event: gr.EventData, request: gr.Request) -> Updates:
        number = _number(_value(event).partition("/")[0])
        if number >= len(view.said) or not view.said[number].sources:
            return self.nothing
        return self._beside(view, number, request)

    def _back(self, view: View, request: gr.Request) -> Updates:
        return self._beside(view, None, request)

    def _beside(self, view: View, opened: int | None, request: gr.Request) -> Updates:
        """Turn to the sources of a message, or away from them; the view stays the reply's while one is written."""
        shown = self._shown(replace(view, opened=opened))
        turned = {part: shown[part] for part in (self.parts.side, self.parts.fold, self.parts.delivery)}
        if self.replies.turn(request.session_hash or "", opened):
            return turned
        return {self.parts.view: shown[self.parts.view], **turned}

    def _cleared(self, view: View, request: gr.Request) -> Updates:
        if self.replies.discard(request.session_hash or ""):
            return self.nothing  # the reply that is under way ends with an empty page
        return self._shown(View(mode=view.mode))

    # Handlers of Practise

    def _mode(self, view: View, mode: Any, request: gr.Request) -> Updates:
        if self._busy(request):
            return {self.parts.mode: view.mode}
        return self._shown(replace(view, mode=mode, opened=None, editing=None))

    def _step(self, step: Callable[..., View]) -> Callable[..., Updates]:
        """A handler for a step of practice: nothing while a reply is written, and an error told in the chat."""

        def handle(request: gr.Request, view: View, *chosen: Any) -> Updates:
            if self._busy(request):
                return self.nothing
            try:
                return self._shown(step(view, *chosen))
            except CoachError as error:
                return self._shown(view.refused(str(error)))

        return handle

    def _carried(self, step: Callable[[View, str], View]) -> Callable[..., Updates]:
        """A handler for a step that takes the value of a control in a text."""
        handle = self._step(step)

        def carried(view: View, event: gr.EventData, request: gr.Request) -> Updates:
            return handle(request, view, _value(event))

        return carried

    def _claimed(self, view: View, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        value = _value(event)
        if value == "none":
            yield self._shown(replace(view, contested=""))
            return
        point = view.contested

        try:
            sentence = self.practice.claimed(view, _number(value))
        except CoachError as error:
            yield self._shown(view.refused(str(error)))
            return

        def contest(session: Session, _: str, stop: threading.Event) -> Iterator[Event]:
            return self.coach.contest(session, point, sentence, stop)

        yield from self._reply(view, f"I did say that: “{sentence}”", request, events=contest)

    def _rewritten(self, view: View, request: gr.Request) -> Iterator[Updates]:
        def rewrite(session: Session, _: str, stop: threading.Event) -> Iterator[Event]:
            return self.coach.rewrite(session, stop)

        yield from self._reply(view, "", request, events=rewrite)

    # Handlers of speech

    def _heard(self, view: View, path: str, request: gr.Request) -> Iterator[Updates]:
        """Write a recording down into the composer, where it can be corrected before it is sent."""
        parts = self.parts
        if self._busy(request):
            self.spoken.put_away(Path(path))
            yield {parts.heard: gr.update(value="Wait until the reply has ended, then upload it again.", visible=True)}
            return
        yield {
            parts.heard: gr.update(value='<span class="note waiting">Writing down what you said</span>', visible=True)
        }
        exercise = view.session.exercise if view.answering else None
        try:
            heard = self.spoken.heard(Path(path), self.coach.entry(exercise.entry) if exercise else None)
        except CoachError as error:
            yield {
                parts.heard: gr.update(value=f'<span class="trouble">{page.escaped(str(error))}</span>', visible=True)
            }
            return
        view = view.transcribed(heard.transcript, heard.doubts)
        shown = self._shown(view)
        yield {**shown, parts.composer: gr.update(**shown[parts.composer], value=heard.transcript.text)}

    # Handlers of what surrounds the conversation

    def _busy(self, request: gr.Request) -> bool:
        return self.replies.under_way(request.session_hash or "")

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


def _value(event: gr.EventData) -> str:
    """What a control in a text carries."""
    data = getattr(event, "_data", None)
    return str(data.get("value", "")) if isinstance(data, dict) else ""


def _number(value: str) -> int:
    """The number that a control carried; raises `gr.Error` for anything else, as from a page that is out of date."""
    if not (value.isascii() and value.isdigit() and len(value) < 7):
        raise gr.Error("That control is out of date; reload the page.", print_exception=False)
    return int(value)


def application(
    coach: Coach, spoken: Spoken | None = None, describe: Callable[[], dict[str, Any]] | None = None
) -> FastAPI:
    """The web application: the page at `/` and the state as JSON at `/healthz`.

    `spoken` listens and reads aloud, by default as the settings say. `describe` says what runs where when the state in
    the header is clicked; by default it is what `doctor` says.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(OnlyFromHere)

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        status = coach.status
        return {"status": "ok", "encoder": status.encoder, "model": status.model, "message": status.message}

    mounted: FastAPI = gr.mount_gradio_app(
        app,
        Page(coach, spoken or Spoken.of(coach.settings), describe or partial(report, coach, sample=False)).demo,
        path="/",
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css_paths=HERE / "page.css",
        head=f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        max_file_size=MAX_FILE_SIZE,
    )
    return mounted


def serve(settings: Settings) -> None:
    """Open the page and serve it until Ctrl-C."""
    bound = listening(settings.host, settings.port)
    server = web_server(application(Coach.load(settings)), settings)
    scheme = "https" if settings.ssl_certfile else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"Interview Coach: {scheme}://{host}:{bound.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
    server.run(sockets=[bound])


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
