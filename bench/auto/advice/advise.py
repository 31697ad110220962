"""From a network and some minutes to an answer: the stages in their order, and the answer from all that they measured.

A stage that an earlier call finished is not repeated; one that it began goes on. What a stage cannot find is said with
its reason, and the others go on without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from ampbench.bench.auto.advice.batch import MOST_SEARCHED, batch
from ampbench.bench.auto.advice.clock import Clock
from ampbench.bench.auto.advice.layers import layers
from ampbench.bench.auto.advice.recipes import recipes_for
from ampbench.bench.auto.advice.request import Request
from ampbench.bench.auto.advice.session import Interrupted, Run, Session
from ampbench.bench.auto.advice.speed import speed
from ampbench.bench.auto.advice.start import start
from ampbench.bench.auto.policies import choose
from ampbench.bench.auto.rounds import run_plan
from ampbench.bench.auto.workers import find_workers
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.shown.printed_report import print_report
from ampbench.bench.launch.shown.typed import command_typed
from ampbench.bench.machine.hardware import Hardware, find_hardware
from ampbench.bench.machine.report import one_line
from ampbench.bench.plan.batch_words import BATCH_WORDS
from ampbench.bench.plan.duration import in_words
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.model_args import split_model
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.plan.source import check_data, check_model
from ampbench.bench.store.disk import Lasting, saying_unwritable
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.merge import merge
from ampbench.schema.choices import Choice
from ampbench.schema.toml_values import text_of_tables

STAGES = ("machine", "batch", "settings", "speed", "start", "layers")
WORKERS_SHARE = 0.15
"""Of the time that is left, for trials of the loader; none are needed where the images fit on the device."""

REPORT_S, REPORT_SHARE = 20.0, 0.1
"""What the answer and its page take at the end, at most; of few minutes, this share is kept for them."""


def advise(
    request: Request,
    folder: Path,
    options: Options,
    console: Console,
    *,
    run: Run = run_plan,
    hardware: Callable[[], Hardware] = lambda: find_hardware(os.environ),
) -> int:
    """Answer a request; return the exit code: 0 when done, 130 when interrupted.

    Args:
        request: what is asked.
        folder: of the advice: its experiments, their results, and the answer.
        options: where cells run.
        console: shows the stages and the answer.
        run: runs a plan.
        hardware: describes the machine, with the boards that `options` choose.

    Raises:
        RequestError: the request is wrong, or nothing at all could be measured.
    """
    _check(request)
    console.file = Lasting(console.file)
    with saying_unwritable(folder):
        request.keep(folder)
        session = Session(
            request=request,
            folder=folder,
            options=options,
            console=console,
            clock=Clock.started(request.minutes, reserved_s=min(REPORT_S, REPORT_SHARE * 60 * request.minutes)),
            run_plan=run,
        )
        try:
            _stages(session, hardware())
        except (Interrupted, KeyboardInterrupt):
            session.say("Interrupted: what is finished is kept, and the same command goes on")
            return 130
        except RequestError as e:
            if not session.parts:
                raise
            session.say(f"  {e}")
        _answer(session)
    return 0


def _check(request: Request) -> None:
    """Refuse what no stage could use.

    Raises:
        RequestError: in one line.
    """
    for recipe in request.recipes:
        if recipe not in RECIPES:
            raise RequestError(f"--recipes: {recipe!r} is no recipe. {did_you_mean(recipe, RECIPES)}")
    model = _without_arguments(request.model)
    for word, check, value in (("--model", check_model, model), ("--data", check_data, request.data)):
        try:
            check(value)
        except RequestError as e:
            raise RequestError(f"{word}: {e}") from None
    if request.fixed.get("batch_size") in BATCH_WORDS:
        raise RequestError(
            f"--batch-size {request.fixed['batch_size']}: write a number, or leave it out to have one found"
        )
    typed = {"model": request.model, "data": request.data, **request.fixed}
    text = text_of_tables("Is it a cell?", {"matrix": {"precision": ["fp32"]}, "fixed": {"batch_size": 1, **typed}})
    make_plan(parse_experiment(Path("advise.py"), text))  # fields that are wrong, or do not go together


def _without_arguments(model: str) -> str:
    try:
        return split_model(model)[0]
    except ValueError as e:
        raise RequestError(f"--model: {model!r} {e}") from None


def _stages(session: Session, hardware: Hardware) -> None:
    _banner(session, "machine")
    session.choose(Choice(field="device", value=one_line(hardware), reason="", by="measurement"))
    for line in hardware.unmeant:
        session.say(f"  {line}")
    recipes = _recipes(session, hardware)
    _banner(session, "batch")
    (rule,) = choose(hardware, {}, fields=["batch_size"])
    if not batch(session, recipes, rule):
        return
    _banner(session, "settings")
    _settings(session, recipes, hardware)
    _banner(session, "speed")
    timed = speed(session, recipes)
    if timed is None:
        return
    _banner(session, "start")
    started = start(session, timed)
    _banner(session, "layers")
    layers(session, started or timed)


def _recipes(session: Session, hardware: Hardware) -> tuple[str, ...]:
    given = session.request.recipes
    if not given:
        choice, recipes = recipes_for(hardware)
        session.choose(choice)
        return recipes
    session.choose(Choice(field="recipes", value=", ".join(given), reason="given", by="user"))
    return given


def _settings(session: Session, recipes: Sequence[str], hardware: Hardware) -> None:
    """Choose what needs no recipe to be compared: the learning rate, and how the images come to the device."""
    fixed, size = session.request.fixed, session.choices["batch_size"].value
    assert isinstance(size, int), "the stages end without a batch size"
    given = {key: fixed[key] for key in ("learning_rate", "num_workers") if key in fixed}
    context = {"optimizer": "sgd", "batch_size": size, **fixed}
    session.choose(*choose(hardware, given, context=context, fields=["learning_rate", *given]))
    if {"num_workers", "loader"} & fixed.keys() or ("loader" in session.choices and session.has_begun("speed")):
        return
    found = find_workers(
        session.subject,
        recipes[:MOST_SEARCHED][-1],  # the likeliest winner needs the most images
        size,
        folder=session.folder,
        options=session.quiet,
        console=session.console,
        minutes=WORKERS_SHARE * session.clock.left_s / 60,
    )
    session.choose(*found)


def _banner(session: Session, stage: str) -> None:
    left = in_words(session.clock.left_s)
    session.say(f"[{STAGES.index(stage) + 1}/{len(STAGES)}] {stage}, {left} left")


def _answer(session: Session) -> None:
    """Put together what was measured, and print the answer; without a measurement, what there is and why no more."""
    parts = list(session.parts.values())
    measured = [part for part in parts if part.standings]
    if not measured:
        session.say("No answer yet: no recipe was timed. What was found is in choices.json; go on with more --minutes")
        return
    request = session.request
    merge(
        [part.plan for part in measured],
        [part.folder for part in measured],
        session.folder,
        question=f"How should {request.model} be trained on this machine?",
        command=command_typed(),
    )
    wishes = [f"--want={request.want}"]
    wishes += [f"--max-memory={request.max_memory_bytes}"] if request.max_memory_bytes else []
    wishes += [f"--epochs={request.epochs}"] if request.epochs else []
    session.say("")
    print_report(Folder(path=session.folder), session.console, mixed=session.options.mixed, wishes=wishes)
