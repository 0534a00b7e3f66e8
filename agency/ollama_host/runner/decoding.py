"""One loaded model: prompt tokens in, pieces of text out, with stop words, limits, grammar and log probabilities."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import Llama
from llama_cpp.llama_grammar import JSON_GBNF, LlamaGrammar

from agency.ollama_host.runner import prompt


class Unanswerable(Exception):
    """A request this model cannot answer; `status` is the HTTP status it deserves."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(slots=True)
class Piece:
    text: str
    logprobs: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """Counts and times (nanoseconds) of one answer, filled in while it is made."""

    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    done_reason: str = "stop"
    context: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Model:
    llama: Llama
    n_ctx: int
    path: str
    embedder: Llama | None = None

    @classmethod
    def load(cls, path: str, n_ctx: int, n_threads: int, adapter: str | None) -> "Model":
        llama = Llama(
            path, n_ctx=n_ctx, n_batch=512, n_threads=n_threads, n_threads_batch=n_threads,
            lora_path=adapter, use_mmap=adapter is None, verbose=False,
        )  # fmt: skip
        return cls(llama, llama.n_ctx(), path)

    def embed(self, texts: Sequence[str]) -> dict[str, Any]:
        """Mean-pooled, L2-normalised embeddings, in a context of their own that is made on first use."""
        if self.embedder is None:
            pooling = llama_cpp.LLAMA_POOLING_TYPE_MEAN
            self.embedder = Llama(self.path, n_ctx=self.n_ctx, embedding=True, pooling_type=pooling, verbose=False)
        vectors, count = self.embedder.embed(list(texts), normalize=True, return_count=True)
        return {"embeddings": vectors, "prompt_eval_count": count}

    def render(self, ask: dict[str, Any]) -> str:
        """The prompt text of a request: raw text as it is, else by its Go template, else by the GGUF's Jinja."""
        if ask.get("raw"):
            return str(ask["prompt"])
        if ask.get("template") is not None:
            return prompt.render_go(ask["template"], ask["messages"])
        source = self.llama.metadata.get("tokenizer.chat_template", "")
        bos, eos = (self._special(token) for token in (self.llama.token_bos(), self.llama.token_eos()))
        return prompt.render_jinja(source, ask["messages"], bos, eos)

    def _special(self, token: int) -> str:
        return self.llama.detokenize([token], special=True).decode("utf-8", "replace") if token >= 0 else ""

    def tokens(self, text: str) -> list[int]:
        bos = self._special(self.llama.token_bos())
        add_bos = not (bos and text.startswith(bos))
        return list(self.llama.tokenize(text.encode(), add_bos=add_bos, special=True))

    def prompt_tokens(self, ask: dict[str, Any]) -> list[int]:
        """Tokens of the prompt; an over-long one is cut in the middle unless `truncate` is false."""
        found = self.tokens(self.render(ask))
        if len(found) < self.n_ctx:
            return found
        if ask.get("truncate") is False:
            raise Unanswerable(400, json.dumps({"n_prompt_tokens": len(found), "n_ctx": self.n_ctx}))
        keep, tail = 4, self.n_ctx // 2
        return found[:keep] + found[-tail:]

    def answer(self, ask: dict[str, Any], result: Result, cancelled: threading.Event) -> Iterator[Piece]:
        """Yield pieces of the answer; `result` is complete once the iterator ends."""
        options: dict[str, Any] = ask["options"]
        tokens = self.prompt_tokens(ask)
        result.prompt_eval_count = len(tokens)
        result.context = list(tokens)
        text = _StopText(options["stop"])
        for token in self._generate(tokens, options, ask.get("format"), result, cancelled):
            logprobs = self._logprobs(token, ask["top_logprobs"]) if ask.get("logprobs") else []
            piece = text.push(self.llama.detokenize([token], prev_tokens=result.context[:-1]))
            if piece or logprobs:
                yield Piece(piece, logprobs)
            if text.is_over:
                result.done_reason = "stop"
                return
        if rest := text.rest():
            yield Piece(rest)

    def _generate(
        self, tokens: list[int], options: dict[str, Any], form: Any, result: Result, cancelled: threading.Event
    ) -> Iterator[int]:
        """Tokens until end of generation, the limit or a cancel; the key-value cache starts empty every time, so the
        same request gives the same answer whatever came before it (a reused prefix flips near-ties)."""
        limit = options["num_predict"] if options["num_predict"] > 0 else 10 * self.n_ctx
        limit = min(limit, self.n_ctx - len(tokens))
        self.llama.reset()
        self.llama.set_seed(options["seed"] if options["seed"] >= 0 else time.time_ns() & 0xFFFFFFFF)
        vocabulary = llama_cpp.llama_model_get_vocab(self.llama.model)
        started = time.monotonic_ns()
        for token in self.llama.generate(tokens, grammar=_grammar(form), **_sampling(options)):
            at = time.monotonic_ns()
            result.eval_count += 1
            if result.eval_count == 1:
                result.prompt_eval_duration, started = at - started, at
            result.eval_duration = at - started
            if cancelled.is_set() or llama_cpp.llama_vocab_is_eog(vocabulary, token):
                return
            result.context.append(token)
            yield token
            if result.eval_count >= limit:
                result.done_reason = "length"
                return

    def _logprobs(self, token: int, top: int) -> list[dict[str, Any]]:
        row = llama_cpp.llama_get_logits_ith(self.llama.ctx, -1)
        logits = np.ctypeslib.as_array(row, shape=(self.llama.n_vocab(),)).astype(np.float64)
        scores = logits - (logits.max() + np.log(np.exp(logits - logits.max()).sum()))
        entry = self._token_score(token, scores)
        if top:
            best = np.argsort(-scores)[:top]
            entry["top_logprobs"] = [self._token_score(int(other), scores) for other in best]
        return [entry]

    def _token_score(self, token: int, scores: np.ndarray) -> dict[str, Any]:
        data = self.llama.detokenize([token], special=True)
        return {"token": data.decode("utf-8", "replace"), "logprob": float(scores[token]), "bytes": list(data)}


def _sampling(options: dict[str, Any]) -> dict[str, Any]:
    names = {"temperature": "temp", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "typical_p": "typical_p"}
    penalties = ("repeat_penalty", "frequency_penalty", "presence_penalty")
    return {ours: options[theirs] for theirs, ours in names.items()} | {name: options[name] for name in penalties}


def _grammar(form: Any) -> LlamaGrammar | None:
    if form is None or form == "":
        return None
    if form == "json":
        return LlamaGrammar.from_string(JSON_GBNF, verbose=False)
    try:
        return LlamaGrammar.from_json_schema(json.dumps(form), verbose=False)
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise Unanswerable(400, f"failed to parse JSON schema: {fault}") from fault


class _StopText:
    """Joins token bytes into text; holds back half a character and what may yet become a stop word."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = [stop for stop in stops if stop]
        self.pending, self.held, self.is_over = b"", "", False

    def push(self, data: bytes) -> str:
        self.pending += data
        try:
            self.held += self.pending.decode()
            self.pending = b""
        except UnicodeDecodeError:
            if len(self.pending) < 4:
                return ""
            self.held, self.pending = self.held + self.pending.decode("utf-8", "replace"), b""
        return self._release()

    def _release(self) -> str:
        ends = [at for stop in self.stops if (at := self.held.find(stop)) >= 0]
        if ends:
            self.is_over = True
            return self.held[: min(ends)]
        keep = max((_overlap(self.held, stop) for stop in self.stops), default=0)
        cut = len(self.held) - keep
        ready, self.held = self.held[:cut], self.held[cut:]
        return ready

    def rest(self) -> str:
        return self.held + self.pending.decode("utf-8", "replace")


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
