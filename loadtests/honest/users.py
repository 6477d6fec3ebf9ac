"""The test's view of honest users, and the audit of their answers."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from liveroom.accounting.statement import Statement
from liveroom.features.red_envelope.entitlements import ENVELOPES_OVER_OWNED
from loadtests.honest.messages import HonestProgress, HonestReport, HonestTask, Pace, Pause, Repeat, Resume, SaleBegun, SetBack
from loadtests.lib.findings import Findings
from loadtests.lib.journal import JournalCheck
from loadtests.lib.latency import Latency
from loadtests.lib.phases import Phases
from loadtests.lib.priority import Prioritize
from loadtests.lib.target import Target, TargetError
from loadtests.lib.worker_pool import Workers, workers_of
from loadtests.storm import flash_sale, red_envelope
from loadtests.storm.options import StormOptions, StormStart
from loadtests.storm.reply_audit import audit_answers, audit_streams, audit_told
from loadtests.storm.scenario import Case
from loadtests.storm.storm_context import CustomerRange
from loadtests.storm.worker import Life, StormFinish

__all__ = ["ROOM", "AuditInput", "HonestUsers", "audit_honest", "honest_users_of", "latencies_of"]

ROOM: Final = "honest"
STOCK: Final = 1_000_000
PER_USER: Final = 1_000
#: The room shows every honest line, whatever else is said.
CHAT_BUDGET: Final = 1_000
POLL_S: Final = 0.1
JOIN_S: Final = 60.0
PAUSE_S: Final = 60.0
LIFE_S: Final = 30.0
REPEAT_S: Final = 1_800.0
SETTLE_S: Final = 20.0
REPORT_S: Final = 60.0
REFUSALS: Final = frozenset({"envelope_empty", "envelope_not_open", "hold_expired", "hold_cancelled"})


class HonestUsers:
    """Made by `honest_users_of`; `begin` lets them act."""

    def __init__(self, target: Target, options: StormOptions, workers: Workers[HonestProgress, HonestReport]) -> None:
        self._target = target
        self.options = options
        self._workers = workers
        self.sale = -1

    @property
    def progress(self) -> HonestProgress:
        """The workers' last progress report."""
        return self._workers.progress[0]

    async def join(self) -> None:
        """Open the room and wait until everybody is in. Raises `TargetError`."""
        await self._until(lambda: self.progress.joined == self.options.viewers, JOIN_S, "the honest users did not get in")

    async def begin(self, phases: Phases) -> None:
        """Announce the sale and let them act. Raises `TargetError`."""
        target, options = self._target, self.options
        await target.command(options.room, "set_chat_budget", lines_per_s=CHAT_BUDGET)
        self.sale = (await flash_sale.begin(target, options, lead_ms=0)).thing
        await self._workers.tell(SaleBegun(self.sale, phases))

    async def pause(self) -> None:
        """Begin nothing more, and wait until everything has its answer. Raises `TargetError`."""
        await self._workers.tell(Pause())
        await self._until(lambda: self.progress.paused, PAUSE_S, "the honest users were not answered")

    async def resume(self) -> None:
        """Go on."""
        await self._workers.tell(Resume())

    async def set_back(self, number: int) -> None:
        """Like `life`, but the new life begins with an older copy of the journal. Raises `TargetError`."""
        await self._workers.tell(SetBack(number))
        await self._until(lambda: self.progress.life == number, LIFE_S, "the honest users did not hear of the server's end")

    async def life(self, number: int) -> None:
        """The server was ended: what comes next comes from its life `number`. Raises `TargetError`."""
        await self._workers.tell(Life(number))
        await self._until(lambda: self.progress.life == number, LIFE_S, "the honest users did not hear of the server's end")

    async def repeat(self) -> None:
        """Ask everything again that was ever asked. Raises `TargetError`."""
        await self._workers.tell(Repeat())
        await self._until(lambda: self.progress.repeated, REPEAT_S, "not everything was answered again")

    async def finish(self) -> HonestReport:
        """Close the room, wait until everybody saw it, and have the report. Raises `TargetError`."""
        closed = await self._target.command(self.options.room, "close_room")
        await self._workers.tell(StormFinish(closed["seq"], SETTLE_S))
        return (await self._workers.reports(SETTLE_S + REPORT_S))[0]

    def check(self) -> None:
        """Raises `TargetError` when one of them came to grief."""
        if self.progress.failed:
            raise TargetError(f"an honest user: {self.progress.failed}")
        self._workers.check()

    async def _until(self, done: Any, within_s: float, words: str) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not done():
                    self.check()
                    await self._workers.news(POLL_S)
        except TimeoutError:
            raise TargetError(f"{words} within {within_s:.0f} s: {self.progress}") from None


@asynccontextmanager
async def honest_users_of(
    target: Target,
    *,
    viewers: int,
    hold_ms: int,
    unpaid: float,
    pace: Pace,
    sources: list[str],
    kills: int = 0,
    log: str = "",
    watch: bool = False,
    environ: Mapping[str, str] | None = None,
    prioritize: Prioritize | None = None,
) -> AsyncIterator[HonestUsers]:
    """Start the process of `viewers` honest users; it is ended on the way out.

    `log`, `watch`: see `HonestTask`; `environ`, `prioritize`: see `workers_of`.
    """
    options = StormOptions(
        scenario="honest",
        viewers=viewers,
        units=STOCK,
        per_user=PER_USER,
        within_s=1.0,
        unruly=0.0,
        unpaid=unpaid,
        hold_ms=hold_ms,
        kills=kills,
        processes=1,
        timeout_s=0.0,
        room=ROOM,
        run=secrets.token_hex(4),
        back_s_max=1.0,
    )
    await target.open_room(ROOM, "Honest users")
    part = CustomerRange(options, target.gateway_url, target.console_url, target.auth, first=0, viewers=viewers, sources=sources)
    crowd = HonestTask(part, pace, log, watch)
    async with workers_of("loadtests.honest.worker", [crowd], HonestProgress(), HonestReport, environ=environ, prioritize=prioritize) as workers:
        yield HonestUsers(target, options, workers)


class AuditInput(Struct):
    """The input of an audit: the report, the ends of the server's lives, its ledger (or the ledger's fault) and its journal."""

    report: HonestReport
    sale: int
    kills: int
    ledger: Statement | None
    ledger_broken: str
    journal: JournalCheck
    ends: tuple[str, ...] = ("1006",)
    may_skip: bool = False  # a client that was away for long may get `skipped`


def audit_honest(options: StormOptions, told: AuditInput, findings: Findings) -> dict[str, Any]:
    """Everything that honest users were told stands in journal and ledger, once, and every line came to everybody. Gives figures."""
    report, journal = told.report, told.journal
    transcript = report.transcript
    audit_answers(transcript.asked, REFUSALS, findings)
    audit_streams(transcript, told.kills, findings, told.ends)
    for code, words in report.problems:
        findings.add(code, words)
    audit = report.audit
    lost = 0 if told.may_skip and transcript.skipped else audit.lost
    if lost or audit.doubled or audit.out_of_order or audit.unexpected:
        findings.add("not_delivered", f"{audit.lost} lost, {audit.doubled} doubled, {audit.out_of_order} out of order, {audit.unexpected} unexpected")
    if told.ledger_broken:
        findings.add("audit_failed", told.ledger_broken)
    if not journal.audit_ok:
        findings.add("audit_failed", journal.audit)
    case = Case(options, StormStart(told.sale, 0), transcript, told.ledger, journal.events)
    asked = [one for one in transcript.asked if one.command in ("reserve_stock", "confirm_hold")]
    sold = flash_sale.audit_accounts(case._replace(transcript=replace(transcript, asked=asked)), findings)
    owned = {envelope for envelope, _ in report.envelopes[-ENVELOPES_OVER_OWNED:]}
    winners = 0
    for envelope, opens_ms in report.envelopes:
        one = case if envelope in owned else case._replace(transcript=replace(transcript, owned=[]))
        winners += _audit_envelope(one, envelope, opens_ms, findings)
    _audit_lines(case, findings)
    return {"holds": len(sold.holds), "sold": sold.units.total(), "gross_fen": sold.units.total() * flash_sale.PRICE_FEN, "shares": winners}


def _audit_envelope(case: Case, envelope: int, opens_ms: int, findings: Findings) -> int:
    """An envelope has as many shares as half of the users, and all of them were granted."""
    asked = [one for one in case.transcript.asked if one.command == "grab_red_envelope" and one.about == envelope]
    ledger = case.ledger if case.ledger and any(account.envelope == envelope for account in case.ledger.envelopes) else None  # it lists the newest
    options = replace(case.options, units=max(1, case.options.viewers // 2))
    one = case._replace(options=options, start=StormStart(envelope, opens_ms), transcript=replace(case.transcript, asked=asked), ledger=ledger)
    return int(red_envelope.audit(one, findings)["winners"])


def _audit_lines(case: Case, findings: Findings) -> None:
    """The journal has every accepted line once."""
    assert case.journal is not None
    users = {one.user for one in case.transcript.asked}
    said = Counter(_line_of(event) for event in case.journal if event["type"] == "chat_sent" and event["user"] in users)
    told = {(one.user, one.about) for one in case.transcript.asked if one.command == "send_chat" and one.granted}
    undecided = {(one.user, one.about) for one in case.transcript.asked if one.command == "send_chat" and one.answer is None}
    audit_told("journal_otherwise", "line", told, set(said) - undecided, findings)
    for line, times in said.items():
        if times > 1:
            findings.add("doubled_outcome", f"line {line} was said {times} times")


def _line_of(event: dict[str, Any]) -> tuple[str, int]:
    return event["user"], int(event["text"].split(" ")[1])


def latencies_of(report: HonestReport) -> dict[str, dict[int, Latency]]:
    """Times by kind and by phase."""
    found: defaultdict[str, dict[int, Latency]] = defaultdict(dict)
    for phase, what, plain in report.latencies:
        found[what][phase] = Latency.from_plain(plain)
    return dict(found)
