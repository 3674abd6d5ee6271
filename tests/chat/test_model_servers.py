"""What servers that speak OpenAI's protocol really send: the whole answer, or a stable code, always an outcome."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, pairwise
from threading import Thread
from typing import Any

import httpx2
import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openai import APIStatusError

from chat.errors import ModelError
from chat.providers import openai as provider
from chat.providers.bodies import DONE, bodies_of, lines_of, whole_body
from chat.providers.protocol import Prompt
from chat.providers.wire import CHARS_PER_TOKEN, ModelAnswer
from common.event_stream import event_of
from common.validation import is_blank
from contexts.models import Trace
from tests.cpu_limit import cpu_limit

pytestmark = pytest.mark.django_db


def piece(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "odd", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def text(content: Any) -> dict[str, Any]:
    return piece({"content": content})


END = piece({}, "stop")
NO_DELTA = {"model": "odd", "choices": [{"index": 0, "content_filter_results": {}}]}
SECOND = {"choices": [{"index": 1, "delta": {"content": "Second."}}]}

# The pieces of a stream, and the answer that comes of them.
STREAMS: dict[str, tuple[list[Any], str]] = {
    "plain": ([piece({"role": "assistant"}), text("Hello "), text("world."), END], "Hello world."),
    "an empty first choice": ([{"model": "", "choices": []}, text("Hello."), END], "Hello."),
    "a choice without delta": ([text("Hello."), NO_DELTA, END], "Hello."),
    "delta is null": ([text("Hello."), piece(None), END], "Hello."),
    "choices are null": ([text("Hello."), END, {"choices": None, "usage": {"total_tokens": 7}}], "Hello."),
    "no finish reason": ([text("Hello.")], "Hello."),
    "an empty finish reason": ([piece({"content": "Hello."}, "")], "Hello."),
    "a null piece": ([None, text("Hello."), END], "Hello."),
    "thinking in the text": ([text("<thi"), text("nk>\nHe is a fool.</th"), text("ink>\n\nRestart."), END], "Restart."),
    "thinking in capitals": ([text("<THI"), text("NK>\nHe is a fool.</THINK>\n\nRestart."), END], "Restart."),
    "reasoning in the text": ([text("<reasoning>Hm.</reason"), text("ing>Restart."), END], "Restart."),
    "thinking beside the text": ([piece({"reasoning_content": "Hm."}), text("Restart."), END], "Restart."),
    "a list of parts": (
        [text([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]),
         text([{"type": "text", "text": "Restart."}]), END], "Restart.",
    ),
    "a pair of surrogates in two pieces": ([text("Fine \ud83d"), text("\ude00 day"), END], "Fine \U0001f600 day"),
    "a lone surrogate": ([text("Fine \ud83d day"), END], "Fine \ufffd day"),
    "a lone surrogate at the end": ([text("Fine \ud83d"), END], "Fine \ufffd"),
    "NUL": ([text("Fine\x00 day"), END], "Fine day"),
    "no model and no id": ([{"choices": [{"delta": {"content": "Hello."}}]}, END], "Hello."),
    "a second answer": ([text("First."), SECOND, END], "First."),
    "usage as text": ([text("Hello."), END | {"usage": {"prompt_tokens": "5", "total_tokens": None}}], "Hello."),
    "an index of null": ([{"choices": [{"index": None, "delta": {"content": "Hello."}}]}, END], "Hello."),
    "a part of reasoning": (
        [text([{"type": "reasoning", "text": "Hm."}, {"type": "output_text", "text": "Restart."},
               {"type": "text", "text": [{"type": "thinking", "text": "So."}]}]), END], "Restart.",
    ),
    "line ends of Unicode": ([text("One\u2028two\u2029three\x85four"), END], "One\u2028two\u2029three\x85four"),
    "both marks within the text": ([text("Write <think> and </think>."), END], "Write <think> and </think>."),
    "thoughts within thoughts": ([text("<think>a<thi"), text("nk>b</think>c</think>Restart."), END], "Restart."),
    "thoughts that mention the mark": ([text("<think>What is <think>?</think>\nA mark."), END], "A mark."),
    "thoughts opened twice": ([text("<think>\n<think>\nHm.</think>Restart."), END], "Restart."),
    "thoughts closed twice": ([text("<think>Hm.</think>\n</th"), text("ink>\n\nRestart."), END], "Restart."),
    "thoughts after thoughts": ([text("<think>Hm.</think>\n<think>So.</think>"), text("Restart."), END], "Restart."),
    "thoughts of Gemini": ([text("<thou"), text("ght>Hm.</thought>Restart."), END], "Restart."),
    "thoughts of Magistral": ([text("[THINK]Hm.[/TH"), text("INK]Restart."), END], "Restart."),
    "thoughts of gpt-oss": (
        [text("<|channel|>analysis<|message|>Hm.<|end|>"),
         text("<|start|>assistant<|channel|>final<|message|>Restart."), END], "Restart.",
    ),
    "gpt-oss without thoughts": ([text("<|channel|>final<|mess"), text("age|>Restart."), END], "Restart."),
    "a mark of thinking within the text": ([text("Type <think> to think."), END], "Type <think> to think."),
    "thoughts later": ([text("First.\n\n<thi"), text("nk>\nHm.\n</think>\n\nThen."), END], "First.\n\nThen."),
    "thoughts later in one line": ([text("First.\n<think>Hm.</think>\nThen."), END], "First.\nThen."),
    "thoughts later, before text": ([text("First.\n<think>\nHm.\n</think>Then."), END], "First.\nThen."),
    "thoughts at the end": ([text("First.\n<think>Hm.</think>"), END], "First.\n"),
    "a mark at the start of a line": ([text("So:\n<think> opens it.\nIt"), END], "So:\n<think> opens it.\nIt"),
    "thinking in any case": ([text("<Th"), text("ink>\nHe is a fool.</Thi"), text("NK>Restart."), END], "Restart."),
    "thinking with an attribute": (
        [text("<think ty"), text("pe='x' n=\"1\">Hm.</think"), text(" >Restart."), END], "Restart.",
    ),
    "a tag that only looks like thinking": ([text("<thought bubble> is a tag."), END], "<thought bubble> is a tag."),
    "thoughts later in any case": ([text("First.\n<Thinking id=1>\nHm.\n</THINKING>\nThen."), END], "First.\nThen."),
    "gpt-oss with all marks": (
        [text("<|start|>assistant<|channel|>commentary<|message|>Hm.<|end|><|start|>assi"),
         text("stant<|channel|>final<|message|>Restart.<|ret"), text("urn|>"), END], "Restart.",
    ),
    "both marks in a line": ([text("So:\n<think> and </thi"), text("nk>."), END], "So:\n<think> and </think>."),
    "marks in code": (
        [text("So:\n``"), text("`xml\n<think>\nHm.\n</think>\n```\nYes."), END],
        "So:\n```xml\n<think>\nHm.\n</think>\n```\nYes.",
    ),
}  # fmt: skip


# The end of an answer, and what of it is shown.
ENDS = {
    "Restart.<|im_end|>": "Restart.",
    "Restart.</s>": "Restart.",
    "Restart. </s>": "Restart. ",
    "- Restart\n<|end|>": "- Restart\n",
    "Restart.<|eot_id|>\n<|endoftext|>\n": "Restart.",
    "Neu starten.<｜end▁of▁sentence｜>": "Neu starten.",
    "Restart.<end_of_turn>": "Restart.",
    "Restart.<|im_end|>\n<|im_start|>user\nThanks!<|im_end|>": "Restart.",
    "Restart.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nThanks!": "Restart.",
    "Restart.<end_of_turn>\n<start_of_turn>user\nThanks!": "Restart.",
    "A turn is `<|im_end|>\n<|im_start|>user`.": "A turn is `<|im_end|>\n<|im_start|>user`.",
    "It ends with <|im_end|>": "It ends with <|im_end|>",
    "It ends with:\n</s>": "It ends with:\n</s>",
    "Write `</s>": "Write `</s>",
    "```\nHello<|im_end|>": "```\nHello<|im_end|>",
    "Each <|im_end|> ends one, so: a<|im_end|>": "Each <|im_end|> ends one, so: a<|im_end|>",
    "Cross it out: <s>price</s>": "Cross it out: <s>price</s>",
    "In HTML you close it.</s>": "In HTML you close it.</s>",
    "Restart.<|im_end|> Then wait.": "Restart.<|im_end|> Then wait.",
    "1 < 2 and <": "1 < 2 and <",
    "Restart.<|im_": "Restart.<|im_",
}


class OddServer:
    """Streams `pieces`, or answers with them in one body; refuses the parameters in `refused`."""

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.is_cut = False
        self.refused: tuple[str, ...] = ()
        self.requests: list[dict[str, Any]] = []
        self.line_end = "\n"
        self.is_escaped = True
        self.always_streams = False
        self.error: str | None = None
        """The code of the error that it answers every request with."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(request)
                for name in server.refused:
                    if name in request:
                        self.answer(400, json.dumps({"error": {"message": f"Unsupported parameter: '{name}'."}}))
                        return
                if server.error is not None:
                    self.answer(404, json.dumps({"error": {"message": "m", "code": server.error}}))
                    return
                if not request.get("stream") and not server.always_streams:
                    self.answer(200, json.dumps(server.whole()))
                    return
                lines = [f"data: {server.write(piece)}\n\n" for piece in server.pieces]
                body = "".join(["\ufeff", *lines, *([] if server.is_cut else ["data:\n\n", "data: [DONE]\n\n"])])
                self.answer(200, body.replace("\n", server.line_end), "text/event-stream")

            def answer(self, status: int, body: str, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def write(self, body: Any) -> str:
        return json.dumps(body, ensure_ascii=self.is_escaped)

    def whole(self) -> dict[str, Any]:
        contents = [
            choice["delta"]["content"]
            for piece in self.pieces if piece
            for choice in piece.get("choices") or []
            if not choice.get("index") and (choice.get("delta") or {}).get("content")
        ]  # fmt: skip
        content = list(chain(*contents)) if contents and isinstance(contents[0], list) else "".join(contents)
        return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def odd(bot: None, settings: Any) -> Iterator[OddServer]:
    server = OddServer()
    provider._refused.clear()
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL, settings.FABRA_MODEL_RETRIES = "any", server.url, 0
    yield server
    server.close()


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_gives_the_whole_answer(name: str, odd: OddServer, streamed: Any) -> None:
    odd.pieces, expected = STREAMS[name]
    events = streamed()
    assert events[-1][0] == "done", events[-1]
    assert events[-1][1]["response"] == expected
    assert "".join(data["text"] for kind, data in events if kind == "delta") == expected
    assert Trace.objects.get().state == Trace.State.ANSWERED


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_is_split_at_line_ends_only(line_end: str, odd: OddServer, streamed: Any) -> None:
    odd.line_end, odd.is_escaped = line_end, False
    said = "One\u2028two\u2029three\x85four\x0bfive\x1csix"
    odd.pieces = [text(said[:9]), text(said[9:]), END]
    assert streamed()[-1][1]["response"] == said
    assert event_of({"text": said}).decode().splitlines()[1:] == [""]
    assert json.loads(event_of({"text": said}, "delta").decode().split("data: ")[1]) == {"text": said}


@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=5))
@example(data=b"a\r\nb\r\rc\n\nd", cuts=[2, 2, 5])
def test_lines_are_the_same_however_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    async def read() -> list[str]:
        async def pieces() -> AsyncIterator[bytes]:
            for start, end in pairwise([0, *sorted(cuts), len(data)]):
                yield data[start:end]

        return [line async for line in lines_of(pieces())]

    found = async_to_sync(read)()
    whole = re.split(rb"\r\n|\r|\n", data)
    assert [line.lstrip("\ufeff") for line in found] == [
        line.decode(errors="replace").lstrip("\ufeff") for line in (whole if whole[-1] else whole[:-1])
    ]


@pytest.mark.parametrize("name", STREAMS)
def test_one_body_gives_the_whole_answer(name: str, odd: OddServer, ask: Any) -> None:
    odd.pieces, expected = STREAMS[name]
    response = ask()
    assert (response.status_code, response.json().get("response")) == (200, expected)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("said", ENDS)
def test_marks_of_the_template_behind_an_answer_are_left_out(said: str, size: int) -> None:
    answer = ModelAnswer(model="m")
    pieces = [answer.add(text(said[start : start + size])) for start in range(0, len(said), size)]
    assert "".join([*pieces, answer.end()]) == ENDS[said]


def test_a_server_that_always_streams_is_read(odd: OddServer, ask: Any) -> None:
    odd.pieces, odd.always_streams = [text("<think>Hm.</think>Hel"), text("lo."), END], True
    assert ask().json()["response"] == "Hello."
    odd.pieces = [text("Hello "), {"error": {"message": "overloaded", "code": 503}}]
    assert ask().json()["error"]["code"] == "model_failed"


def test_an_answer_of_marks_alone_is_none(odd: OddServer, streamed: Any) -> None:
    odd.pieces = [text("<|im_end|>"), END]
    assert streamed()[-1][1]["code"] == "model_failed"


@pytest.mark.parametrize("pieces", [1, 300])
def test_an_answer_without_end_is_cut_off(pieces: int, odd: OddServer, streamed: Any, ask: Any, settings: Any) -> None:
    settings.FABRA_MODEL_MAX_TOKENS = 100
    odd.pieces = [text("word " * (60_000 // pieces)) for _ in range(pieces)] + [END]
    for answer in (streamed()[-1][1], ask().json()):
        assert "answer_cut_off" in answer["flags"]
        assert answer["response"] == "word " * (100 * CHARS_PER_TOKEN // 5)


def test_thoughts_without_end_are_not_read_for_ever(odd: OddServer, streamed: Any) -> None:
    odd.pieces = [text("<think>"), *(piece({"content": "Hm. " * 500}) for _ in range(200)), text("</think>Yes."), END]
    assert streamed()[-1][1]["code"] == "model_failed"
    odd.pieces = [piece({"reasoning_content": "Hm. " * 500}) for _ in range(200)] + [text("Yes."), END]
    assert streamed()[-1][1]["code"] == "model_failed"


def test_a_line_or_a_body_without_end_is_an_error() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 500_000

    async def lines() -> list[str]:
        return [line async for line in lines_of(pieces())]

    async def body() -> Any:
        return await whole_body(pieces())

    for read in (lines, body):
        with pytest.raises(ModelError, match="more than an answer has"):
            async_to_sync(read)()


@pytest.mark.parametrize("line", [b'data: {"a": 1,\n', b' "a",\n'])
def test_an_event_of_lines_without_end_is_an_error(line: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{\n" if line.startswith(b" ") else b""
        for _ in range(4000):
            yield line * 1000

    async def bodies() -> list[Any]:
        return [body async for body in bodies_of(pieces())]

    with cpu_limit(), pytest.raises(ModelError, match="more than an answer has"):
        async_to_sync(bodies)()


def test_thinking_is_kept_in_the_trace(odd: OddServer, streamed: Any) -> None:
    odd.pieces = STREAMS["thinking in the text"][0]
    streamed()
    outcome = Trace.objects.get().outcome
    assert outcome is not None
    assert outcome["reasoning"].strip() == "He is a fool."


@pytest.mark.parametrize(
    "pieces",
    [
        [text("Hello "), {"error": {"message": "overloaded", "code": 503}}],
        [piece({"tool_calls": [{"id": "t", "function": {"name": "f"}}]}), piece({}, "tool_calls")],
        [],
        ["a text", 5, [], {"choices": {"no": "list"}}],
        [text("Hello "), {"object": "error", "message": "The engine is dead.", "code": 500}],
        [text("Hello "), {"detail": "Internal Server Error"}],
        [text("Hello "), piece({"content": ""}, "error")],
        [text("Hello "), piece({}, "insufficient_system_resource")],
        [text("<think>Only thoughts."), END],
        [text("\u200b\u2060"), END],
    ],
)
def test_what_is_no_answer_is_a_stable_code_with_an_outcome(
    pieces: list[Any], odd: OddServer, streamed: Any, settings: Any
) -> None:
    odd.pieces = pieces
    settings.FABRA_RATE_LIMITS = {"premium": 1}
    for _ in range(2):  # a failed answer does not count against the limit
        name, error = streamed()[-1]
        assert (name, error["code"]) == ("error", "model_failed")
    assert {trace.error_code for trace in Trace.objects.all()} == {"model_failed"}


def test_a_stream_that_breaks_off_is_told(odd: OddServer, streamed: Any) -> None:
    odd.pieces, odd.is_cut = [text("Hello ")], True
    assert streamed()[-1][1]["code"] == "model_failed"


@pytest.mark.parametrize(
    ("finish", "flag"),
    [
        ("length", "answer_cut_off"), ("Length", "answer_cut_off"), ("model_length", "answer_cut_off"),
        ("MAX_TOKENS", "answer_cut_off"),
        ("content_filter", "answer_filtered"), ("SAFETY", "answer_filtered"),
    ],
)  # fmt: skip
def test_an_answer_that_was_ended_says_so(finish: str, flag: str, odd: OddServer, streamed: Any) -> None:
    odd.pieces = [text("Here is how"), piece({}, finish)]
    assert flag in streamed()[-1][1]["flags"]


def test_a_server_that_refuses_a_parameter_is_asked_without_it(odd: OddServer, streamed: Any, ask: Any) -> None:
    odd.pieces, odd.refused = [text("Hello."), END], ("max_tokens", "stream_options")
    assert streamed()[-1][1]["response"] == "Hello."
    assert ask().json()["response"] == "Hello."
    assert len(odd.requests) == 4  # each parameter was refused once
    assert "max_completion_tokens" in odd.requests[-1]


def test_a_parameter_is_sent_again_where_the_server_refused_something_else(
    odd: OddServer, streamed: Any, ask: Any
) -> None:
    odd.pieces, odd.refused = [text("Hello."), END], ("max_tokens", "max_completion_tokens")
    assert streamed()[-1][1]["code"] == "model_refused"
    odd.refused = ()
    assert ask().json()["response"] == "Hello."
    assert "max_tokens" in odd.requests[-1]


def bodies(data: bytes) -> list[Any]:
    async def read() -> list[Any]:
        async def pieces() -> AsyncIterator[bytes]:
            yield data

        return [body async for body in bodies_of(pieces())]

    return async_to_sync(read)()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b': keep-alive\n\nevent: chunk\ndata:{"a": 1}\n\nid: 1\ndata: [DONE]\n\n', [{"a": 1}, DONE]),
        (b'data: {\ndata:   "a":\ndata: 1}\n\ndata: {"b": 2}\n\n', [{"a": 1}, {"b": 2}]),  # one event of three lines
        (b'data: {"a": 1}\ndata: {"b": 2}\ndata: [DONE]', [{"a": 1}, {"b": 2}, DONE]),  # no empty lines
        (b'{"a": 1}', [{"a": 1}]),  # no stream
        (b'{\n  "a": {\n    "b": 1\n  }\n}\n', [{"a": {"b": 1}}]),  # no stream, over several lines
        (b'{ "a":\r\n\r\n1 }', [{"a": 1}]),
        (b'data: {"a": "1\t2"}\n\n', [{"a": "1\t2"}]),  # a sign of control that is not escaped
    ],
)
def test_the_bodies_of_a_stream_are_read_whatever_its_lines_are(data: bytes, found: list[Any]) -> None:
    assert bodies(data) == found


@pytest.mark.parametrize(
    "data",
    [
        b'event: error\ndata: {"message": "overloaded"}\n\ndata: [DONE]\n\n', b'data: {"a":\n\ndata: {"b": 2}\n\n',
        b'data: {"a":', b'{\n"a":\n', b"data: " + b"[" * 100_000,
    ],
)  # fmt: skip
def test_an_event_that_is_an_error_or_no_json_is_an_error_of_the_model(data: bytes) -> None:
    with pytest.raises(ModelError):
        bodies(data)


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"code": 429, "message": "busy"}}', '{"object": "error", "code": 429, "message": "busy"}',
        '{"code": 429, "detail": "busy"}',
    ],
)  # fmt: skip
def test_an_event_that_is_an_error_says_whether_it_may_be_asked_again(body: str) -> None:
    with pytest.raises(ModelError) as raised:
        bodies(f"event: error\ndata: {body}\n\n".encode())
    assert (raised.value.status, raised.value.may_retry) == (429, True)
    with pytest.raises(ModelError) as raised:
        ModelAnswer(model="m").add(json.loads(body))
    assert raised.value.status == 429


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"role": "assistant", "content": ""}, "message": {"content": "Hello."}},
        {"delta": {}, "message": {"content": "Hello."}},
        {"message": {"content": None, "refusal": "Hello."}},
        {"message": {"content": [{"type": "refusal", "refusal": "Hello."}]}},
        {"message": {"content": {"type": "text", "text": "Hello."}}},
    ],
)
def test_the_text_of_one_body_is_found(choice: dict[str, Any]) -> None:
    answer = ModelAnswer(model="m")
    assert answer.add({"choices": [choice]}, is_whole=True) == "Hello."


def test_a_stream_that_tells_all_again_with_each_piece_is_read_once() -> None:
    answer, so_far = ModelAnswer(model="m"), ""
    for piece_of in ("Hello ", "you."):
        so_far += piece_of
        choice = {"delta": {"content": piece_of}, "message": {"content": so_far}}
        assert answer.add({"choices": [choice]}) == piece_of
    assert answer.add({"choices": [{"delta": {}, "message": {"content": so_far}, "finish_reason": "stop"}]}) == ""


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ([(9, 1, 10), (9, 3, 12), (0, 0, 0)], (9, 3)),  # with each piece, and nothing at the end
        ([(10, 0, 10), (0, 5, 0)], (10, 5)),  # the prompt's first, then the answer's
        ([(8, 10, 412)], (8, 404)),  # thoughts are in the total alone
        ([(0, 0, 0)], None),
        ([(0, 0, 7)], None),
    ],
)
def test_the_tokens_of_an_answer_are_those_that_are_billed(
    told: list[tuple[int, int, int]], counted: tuple[int, int] | None
) -> None:
    answer = ModelAnswer(model="m")
    for counts in told:
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        answer.add({"choices": [], "usage": dict(zip(names, counts, strict=True))})
    assert (answer.usage and (answer.usage["prompt_tokens"], answer.usage["completion_tokens"])) == counted


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
        {"choices": [{"delta": {}, "usage": {"prompt_tokens": 9, "completion_tokens": 3}}]},
        {"choices": [{"delta": {}}], "x_groq": {"usage": {"prompt_tokens": 9, "completion_tokens": 3}}},
    ],
)
def test_the_tokens_of_a_stream_are_found_where_servers_tell_them(body: dict[str, Any]) -> None:
    answer = ModelAnswer(model="m")
    answer.add(body)
    assert answer.usage and (answer.usage["prompt_tokens"], answer.usage["completion_tokens"]) == (9, 3)


@pytest.mark.parametrize(
    ("error", "code", "may_retry", "is_of_request"),
    [
        ({"code": 429}, "model_refused", True, False),
        ({"code": "502", "message": "Provider returned error"}, "model_failed", True, False),
        ({"code": 400, "type": "BadRequestError"}, "model_refused", False, True),
        ({"code": "context_length_exceeded"}, "model_failed", False, False),
        ("overloaded", "model_failed", False, False),
    ],
)
def test_an_error_with_a_good_status_counts_as_the_one_that_it_tells(
    error: Any, code: str, may_retry: bool, is_of_request: bool
) -> None:
    with pytest.raises(ModelError) as raised:
        ModelAnswer(model="m").add({"error": error})
    found = raised.value
    assert (found.code, found.may_retry, found.is_of_request) == (code, may_retry, is_of_request)


@pytest.mark.parametrize(
    "said", ["He is a fool.\n</think>\n\nRestart.", "<think>He is a fool.</think>Restart.", "Restart."]
)
@pytest.mark.parametrize("size", [1, 7, 100])
def test_thoughts_without_an_opening_mark_are_not_shown(
    said: str, size: int, odd: OddServer, streamed: Any, ask: Any, settings: Any
) -> None:
    odd.pieces = [*(text(said[start : start + size]) for start in range(0, len(said), size)), END]
    assert ask().json()["response"] == "Restart."
    settings.FABRA_MODEL_BEGINS_WITH_THINKING = True
    events = streamed()
    assert events[-1][1]["response"] == "Restart."
    assert "".join(data["text"] for kind, data in events if kind == "delta") == "Restart."
    for trace in Trace.objects.all() if "fool" in said else ():
        assert trace.outcome and trace.outcome["reasoning"].strip() == "He is a fool."


def test_thoughts_that_were_cut_off_are_no_answer(odd: OddServer, streamed: Any, settings: Any) -> None:
    settings.FABRA_MODEL_BEGINS_WITH_THINKING = True
    odd.pieces = [text("He is a fool, and I"), piece({}, "length")]
    assert streamed()[-1][1]["code"] == "model_failed"


ODD_TEXT = st.text(st.characters() | st.sampled_from("\x00\ud83d\ude00\u2028\x85"), max_size=300)
ODD_VALUE = ODD_TEXT | st.integers(-(10**30), 10**30) | st.floats() | st.none() | st.booleans()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.tuples(ODD_TEXT, ODD_TEXT), min_size=1, max_size=3), model=ODD_VALUE, finish=ODD_VALUE,
    usage=st.fixed_dictionaries({name: ODD_VALUE for name in ("prompt_tokens", "completion_tokens", "total_tokens")}),
    code=st.none() | ODD_TEXT,
)  # fmt: skip
@example(texts=[("Hi.", "a\x00\ud83d")], model="m\x00" * 300, finish="\x00", usage={"prompt_tokens": 10**25}, code=None)
@example(texts=[("Hi.", "")], model="m", finish="stop", usage={"completion_tokens": 9e300}, code="\x00\ud800")
def test_whatever_a_server_sends_the_outcome_is_stored(
    texts: list[tuple[str, str]], model: Any, finish: Any, usage: dict[str, Any], code: str | None, odd: OddServer,
    streamed: Any,
) -> None:  # fmt: skip
    Trace.objects.all().delete()
    odd.error = code
    odd.pieces = [piece({"content": said, "reasoning_content": thought}, model=model) for said, thought in texts]
    odd.pieces.append(piece({}, finish, usage=usage))
    kind, data = streamed()[-1]
    trace = Trace.objects.get()
    if code is None and not is_blank("".join(said for said, _ in texts)):
        assert (kind, trace.state) == ("done", Trace.State.ANSWERED)
    else:
        assert trace.state in (Trace.State.ANSWERED if kind == "done" else Trace.State.FAILED,)
    assert len(trace.model) <= 200 and (kind == "done" or data["code"].startswith("model_"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "delta", "message", "content", "index", "usage", "model", "type", "text", "error"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(bodies=st.lists(JSON, max_size=5))
def test_whatever_is_sent_is_text_or_an_error_of_the_model(bodies: list[Any]) -> None:
    answer = ModelAnswer(model="m")
    try:
        shown = "".join([*(answer.add(body) for body in bodies), answer.end()])
    except ModelError:
        return
    assert "\x00" not in shown
    shown.encode()  # it can be stored and sent
    answer.reasoning.encode()


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported parameter: 'seed'", '{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}',
        "seed: Extra inputs are not permitted",
    ],
)  # fmt: skip
def test_an_option_is_found_in_what_the_server_says(said: str) -> None:
    response = httpx2.Response(422, text=said, request=httpx2.Request("POST", "http://x"))
    answer, prompt = ModelAnswer(model="m"), Prompt(messages=[], options={"stop": "x", "seed": 1})
    assert provider._refuses_option(prompt, answer, APIStatusError(said, response=response, body=None))
    assert answer.refused_options == ["seed"]


def test_a_server_that_repeats_the_request_has_refused_none_of_its_options() -> None:
    said = '{"detail": [{"loc": ["body"], "input": {"stop": "x", "seed": 1, "messages": []}, "msg": "too long"}]}'
    response = httpx2.Response(422, text=said, request=httpx2.Request("POST", "http://x"))
    answer, prompt = ModelAnswer(model="m"), Prompt(messages=[], options={"stop": "x", "seed": 1})
    assert not provider._refuses_option(prompt, answer, APIStatusError(said, response=response, body=None))


def test_an_option_that_the_server_refuses_is_left_out_of_that_call_and_named(odd: OddServer, client: Client) -> None:
    odd.pieces, odd.refused = [text("Hello.")], ("seed", "verbosity")
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": "Hello?"}, {"role": "user", "content": "Pay?"}],
    }

    def ignored(**options: Any) -> list[str]:
        response = client.post("/v1/chat/completions", body | options, content_type="application/json").json()
        assert response["choices"][0]["message"]["content"] == "Hello."
        return list(response["fabra"]["ignored"])

    assert ignored(seed=1, verbosity="low", temperature=0.5) == ["seed", "verbosity"]
    assert odd.requests[-1]["temperature"] == 0.5
    odd.refused = ()
    assert ignored(seed=1) == []  # it may have been the value
    assert odd.requests[-1]["seed"] == 1
