import asyncio
import json
import sys
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from chat.models import Bot, ModelCall, ModelProvider, Purpose
from chat.models.providers import ENVIRONMENT
from chat.providers.configured import ModelConfig, configured_models_now
from chat.providers.probe import PROMPT, Probe, probe
from chat.spending.calls import Spender, billed_call, call_of
from chat.spending.prices import price_of
from contexts.registry import contexts

_MILLION = 1_000_000


class Command(BaseCommand):
    help = "List the configured language models, or ask each whether it works."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("what", choices=("list", "check"))
        parser.add_argument("names", nargs="*", help="Only these, by name; otherwise all that are enabled.")
        parser.add_argument("--json", action="store_true", help="Write JSON.")

    def handle(self, *args: Any, what: str, names: list[str], **options: Any) -> None:
        configs = _chosen(names)
        if not options["json"]:
            self._report_unknown()
        if what == "list":
            self._list(configs, is_json=options["json"])
            return
        probes = async_to_sync(_probe_all)(configs)
        if options["json"]:
            self.stdout.write(json.dumps([found.to_dict() for found in probes], indent=2))
        else:
            for found in probes:
                self.stdout.write(_lines_of(found))
        for found in probes:
            self._note(found)
        if not all(found.is_working for found in probes):
            sys.exit(1)

    def _note(self, found: Probe) -> None:
        """Keep what the call cost, and that a model begins with its thoughts; without a database it is told only."""
        asked = [(found.completion, found.text), (found.with_options, found.text_with_options)]
        calls = [
            call_of(Spender(), Purpose.CHECK, PROMPT, completion, text) for completion, text in asked if completion
        ]
        if found.error and found.error.usage:
            calls.append(billed_call(Spender(), Purpose.CHECK, found.config, found.error))
        try:
            ModelCall.objects.bulk_create(call for call in calls if call)
            if found.begins_with_thinking and not found.config.begins_with_thinking:
                ModelProvider.objects.filter(name=found.config.name).update(begins_with_thinking=True)
        except DatabaseError as error:
            self.stderr.write(f"The call was not counted: {type(error).__name__}.")

    def _report_unknown(self) -> None:
        """Warn of contexts and bots that name a model which is not configured: others answer in its place."""
        known = {config.model for config in configured_models_now()}
        named = [(f"context {name}", spec.asked_model) for name, spec in sorted(contexts.items())]
        named += [(f"bot {bot.slug}", bot.model) for bot in Bot.objects.without_logo().order_by("slug")]
        for who, model in named:
            if model and model not in known:
                self.stderr.write(f"The {who} names the model {model}, which is not configured.")

    def _list(self, configs: list[ModelConfig], *, is_json: bool) -> None:
        rows = [_about(config) for config in configs]
        if is_json:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for row in rows:
            key = f"{row['key_variable']}{'' if row['has_key'] else ' (not set)'}" if row["key_variable"] else "no key"
            price = "{:g} / {:g} US$".format(*row["prices_usd"]) if row["prices_usd"] else "price not known"
            window = f"window {row['window']:,}" if row["window"] else "window not known"
            self.stdout.write(
                f"{row['position']:>4}  {row['name']}: {row['model']} at {row['base_url']}, {key}, {window}, {price}"
            )


def _chosen(names: list[str]) -> list[ModelConfig]:
    configs = configured_models_now()
    unknown = set(names) - {config.name for config in configs}
    if unknown:
        raise CommandError(f"There is no enabled model {', '.join(sorted(unknown))}.")
    if not configs:
        raise CommandError("No language model is configured: set OPENAI_API_KEY, or add one in the admin.")
    return [config for config in configs if config.name in names or not names]


def _about(config: ModelConfig) -> dict[str, Any]:
    price = price_of(config)
    return {
        "position": config.position,
        "name": config.name,
        "model": config.model,
        "base_url": config.base_url,
        "key_variable": config.key_variable,
        "has_key": bool(config.key),
        "window": config.window or None,
        "prices_usd": [float(price.input_usd * _MILLION), float(price.output_usd * _MILLION)] if price else None,
    }


async def _probe_all(configs: list[ModelConfig]) -> list[Probe]:
    return await asyncio.gather(*(probe(config) for config in configs))


def _lines_of(found: Probe) -> str:
    config = found.config
    if found.error is not None:
        asked = f"{config.model} at {config.base_url}, {found.ms:.0f} ms"
        return f"{config.name}: FAILED {found.error.for_operator()} ({asked})"
    assert found.completion is not None
    window = found.window or config.window
    source = "told by the server" if found.window else "as configured" if window else ""
    parts = [
        f"first token {found.first_ms:.0f} ms, whole answer {found.ms:.0f} ms",
        f"window {window:,} ({source})" if window else "window not known",
        f"takes no {', '.join(found.refused)}" if found.refused else "",
        "refuses calls with some option" if found.refuses_options else "",
        "" if found.completion.usage else "does not report usage",
        _on_thinking(config) if found.begins_with_thinking else "",
    ]
    return f"{config.name}: ok, {found.completion.model}, " + ", ".join(part for part in parts if part)


def _on_thinking(config: ModelConfig) -> str:
    if config.begins_with_thinking:
        return "begins with its thoughts"
    what = (
        "set FABRA_MODEL_BEGINS_WITH_THINKING=1" if config.name == ENVIRONMENT else "noted, so that they are not shown"
    )
    return f"begins with its thoughts ({what})"
