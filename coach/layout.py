"""The page's components and where they stand; what they do is wired in `ui.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from coach import page
from coach.delivery_panel import delivery_panel
from coach.view import View

EXAMPLES = (
    "Why do we need batch norm?",
    "Is dropout on or off when I test the model?",
    "My training loss falls but validation gets worse",
    "How do LSTMs remember things for so long?",
    "When would you not use deep learning?",
    "What does attention actually compute?",
)
PROMPTS = {"ask": "Ask about deep learning", "answer": "Answer in your own words", "follow-up": "Answer the follow-up"}
AUDIO = ["audio", ".webm", ".mp4"]  # browsers record sound into these
# What controls inside texts can ask for; each is an event of the hidden component that carries them.
VERBS = ("suggest", "edit", "retry", "source", "back", "quiz", "contest", "claim", "point", "listen")

Choices = Sequence[tuple[str, Any]]


class Layout:
    """All components, made inside the `gr.Blocks` that is open; each attribute is one of them."""

    def __init__(self, topics: Choices, levels: Choices, say: Callable[[str], str]) -> None:
        import gradio as gr

        self.view = gr.State(View())

        def speak(sentence: object) -> str:
            """Called by the page's script, sentence by sentence (Gradio marks the function, so it is not a method)."""
            return say(sentence) if isinstance(sentence, str) else ""

        self.bus = gr.HTML(
            "",
            elem_id="bus",
            js_on_load=f"window.coachPage.connect({list(VERBS)}, trigger, server.speak);",
            server_functions=[speak],
        )
        self._header()
        with gr.Column(elem_id="app"):
            with gr.Column(elem_id="talk"):
                self._welcome()
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
                self.delivery = gr.HTML(visible=False, elem_id="delivery")
            self._exercise()
            with gr.Column(elem_id="write"):
                with gr.Row(visible=False, elem_id="editing") as self.editing:
                    gr.HTML("Changing an earlier question; what followed it will be replaced.")
                    self.keep = gr.Button("Keep it as it was", size="sm", elem_id="keep")
                self._setup(topics, levels)
                gr.HTML(page.RECORDER, elem_id="recorder")
                self.heard = gr.Markdown(visible=False, elem_id="heard")
                self._compose()
        self.timer = gr.Timer(1.0)

    def _header(self) -> None:
        import gradio as gr

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

    def _welcome(self) -> None:
        import gradio as gr

        with gr.Column(elem_id="welcome") as self.welcome:
            self.what = gr.HTML(page.WELCOME["ask"], elem_id="what")
            with gr.Column(elem_id="examples") as self.example_list:
                self.examples = [gr.Button(text, size="sm") for text in EXAMPLES]
            with gr.Row(elem_id="ways") as self.ways:
                self.practise_one = gr.Button("Practise one question", variant="primary", elem_id="practise-one")
                self.surprise = gr.Button("Surprise me", elem_id="surprise")

    def _exercise(self) -> None:
        import gradio as gr

        with gr.Row(visible=False, elem_id="doing") as self.doing:
            self.hint = gr.Button("Hint", size="sm", elem_id="hint")
            self.model_answer = gr.Button("Model answer", size="sm", elem_id="model-answer")
            self.hear = gr.Button("Hear it", size="sm", elem_id="hear")
            self.rewrite = gr.Button("My answer, rewritten", size="sm", elem_id="rewrite")
            self.again = gr.Button("Answer again", size="sm", elem_id="again")
            self.follow_up = gr.Button("Follow-up", size="sm", elem_id="follow-up")
            self.next = gr.Button("Next question", size="sm", elem_id="next")
            self.finish = gr.Button("Finish", size="sm", elem_id="finish")

    def _setup(self, topics: Choices, levels: Choices) -> None:
        import gradio as gr

        with gr.Column(visible=False, elem_id="setup") as self.setup:
            with gr.Row(elem_id="choices"):
                self.topic = gr.Dropdown(list(topics), value="", label="Topic", elem_id="topic")
                self.level = gr.Dropdown(list(levels), value=0, label="Difficulty", elem_id="level")
                self.style = gr.Dropdown(
                    [("after each answer", "coached"), ("only at the end", "realistic")],
                    value="coached",
                    label="Feedback",
                    elem_id="style",
                )
            with gr.Row(elem_id="starts"):
                self.start = gr.Button("Ask me a question", variant="primary", elem_id="start")
                self.any_question = gr.Button("Surprise me", elem_id="any-question")

    def _compose(self) -> None:
        import gradio as gr

        with gr.Row(elem_id="compose") as self.compose:
            self.composer = gr.Textbox(
                label="Your message",
                show_label=False,
                container=False,
                placeholder=PROMPTS["ask"],
                lines=1,
                max_lines=12,
                autofocus=True,
                elem_id="composer",
            )
            self.upload = gr.UploadButton("Upload a recording", file_types=AUDIO, elem_id="upload")
            gr.Button("Record", elem_id="mic")
            self.send = gr.Button("Send", variant="primary", elem_id="send")
            self.stop = gr.Button("Stop", visible=False, elem_id="stop")

    def told(self) -> list[Any]:
        """The components that show a visitor's view."""
        return [
            self.view, self.composer, self.chat, self.side, self.fold, self.welcome, self.what, self.example_list,
            self.ways, self.editing, self.setup, self.compose, self.send, self.stop, self.mode, self.doing,
            self.rewrite, self.again, self.follow_up, self.delivery, self.heard,
        ]  # fmt: skip

    def shown(self, view: View, beside: str, busy: bool = False) -> dict[Any, Any]:
        """What every component shows for a view; `beside` is the panel of practice."""
        import gradio as gr

        practising = view.mode == "practise"
        exercise = view.session.exercise
        setting_up = practising and exercise is None
        attempted = exercise is not None and bool(exercise.attempts) and view.session.style == "coached"
        opened = None if view.opened is None else view.said[view.opened]
        card = view.card if practising and opened is None else None
        spoken = delivery_panel(card.transcript, card.graded.scorecard) if card else ""
        sources = page.source_panel(opened, view.opened or 0, back=practising)
        return {
            self.view: view,
            self.composer: gr.update(placeholder=PROMPTS[view.asked_for]),
            self.chat: gr.update(value=page.chat(view.said), visible=bool(view.said)),
            self.side: beside if practising and opened is None else sources,
            self.fold: gr.update(value=page.fold_label(view), visible=bool(opened or card or view.answering)),
            self.welcome: gr.update(visible=not view.said),
            self.what: page.WELCOME[view.mode],
            self.example_list: gr.update(visible=not practising),
            self.ways: gr.update(visible=not practising),
            self.editing: gr.update(visible=view.editing is not None),
            self.setup: gr.update(visible=setting_up),
            self.compose: gr.update(visible=not setting_up),
            self.send: gr.update(visible=not busy),
            self.stop: gr.update(visible=busy),
            self.mode: view.mode,
            self.doing: gr.update(visible=view.answering),
            self.delivery: gr.update(value=spoken, visible=bool(spoken)),
            self.heard: gr.update(value=page.escaped(view.heard_note), visible=bool(view.heard_note)),
            **{button: gr.update(visible=attempted) for button in (self.rewrite, self.again)},
            self.follow_up: gr.update(visible=attempted and exercise is not None and not exercise.follow_up),
        }
