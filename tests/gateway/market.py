"""The real rules behind one or more admission queues, with every delay controlled by the test: commands in flight, decided and read."""

from __future__ import annotations

import copy
from collections import defaultdict, deque
from functools import partial
from random import Random

from liveroom.config.schema import RoomsConfig
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, ReserveStock
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.features.red_envelope.messages import DropRedEnvelope, EnvelopeCondition, GrabRedEnvelope
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.features.tables import admission_of
from liveroom.gateway.admission_queue import PLACES_PER_USER_MAX, AdmissionQueue, AdmissionStep, Claim
from liveroom.gateway.admission_queues import AdmissionQueues
from liveroom.gateway.replay_buffer import EventSpan
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Accepted, Refused, Reply
from liveroom.protocol.records import Request, Sender
from liveroom.rooms.room import Decided, Refusal, RoomState, decide, decide_due, evolve, keyframe

ROOM = "room-1"
ANCHOR = Sender("anna", "Anna", Role.anchor)
RULES = RoomsConfig()
START_MS = 1_700_000_000_000
MARGIN = 3
WAIT_S = 10.0
WATCHED_S = 60


def _units_of(command: Command) -> int:
    admission = admission_of(command)
    assert admission is not None, command
    return admission.claim(command)[1]


class Record:
    """The result of one step: events, and the answers to claims of the sides."""

    def __init__(self, from_: int, time_ms: int, events: tuple[Event, ...], answers: list[tuple[int, Claim, Reply]]) -> None:
        self.from_ = from_
        self.time_ms = time_ms
        self.events = events
        self.answers = answers


class Side:
    """One gateway: its admission queues, how far it has read, and the room as it has read it."""

    def __init__(self, state: RoomState, read: int) -> None:
        self.admission_queues = AdmissionQueues(MARGIN, WAIT_S)
        self.state = state
        self.read = read
        self.under_way: dict[Claim, AdmissionQueue] = {}
        self.counted: list[Claim] = []  # every claim that went on through the line
        self.queues_met: dict[AdmissionQueue, None] = {}


class Market:
    """A room with one thing to claim. Every check that holds at all times is made here, as things happen."""

    def __init__(self, kind: str, units: int, *, per_user_max: int = 1, conditional: bool = False, per_address: int = 0) -> None:
        self.rng = Random(7)
        self.now_ms = START_MS
        self.state: RoomState | None = None
        self.stream: list[Record] = []
        self.queue: deque[tuple[int, Claim]] = deque()  # on their way to the engine
        self.outcomes: dict[tuple[str, str], Reply] = {}  # the engine's memory
        self.told: dict[int, list[Reply]] = defaultdict(list)  # by number of the command
        self.sent = 0
        self.decided: list[tuple[Claim, Reply]] = []
        self.refused_here: list[tuple[Claim, str]] = []
        self.lost = 0
        self.kind = kind
        self.make(OpenRoom("Sale"))
        self.make(AddProduct(Product("shirt", "Shirt", 100)))
        condition = EnvelopeCondition(watched_s=WATCHED_S) if conditional else EnvelopeCondition()
        commands: dict[str, Command] = {
            "envelope": DropRedEnvelope(1_000, units, "lucky", "Luck", 0, 86_400_000, condition, per_address),
            "coupon": IssueCoupon("Off", CouponTerms(10), units, per_user_max, 86_400_000, 86_400_000, per_address),
            "sale": AnnounceFlashSale("shirt", 100, units, per_user_max, 0, 86_400_000, 3_600_000, per_address),
        }
        self.sides = [self.side()]
        self.thing = int(self.make(commands[kind]).result[kind])
        self.per_user_max = per_user_max
        self.catch_up()

    # The engine

    def make(self, command: Command, sender: Sender = ANCHOR) -> Decided:
        """A command of the anchor or the platform, decided at once."""
        decision = decide(self.state, Request("x", ROOM, sender, command), self.now_ms, self.rng, RULES)
        assert isinstance(decision, Decided), decision
        self._record(decision.events, [])
        return decision

    def decide(self, count: int) -> None:
        """One step: the next claims of the queue."""
        assert self.state is not None
        events: list[Event] = []
        answers: list[tuple[int, Claim, Reply]] = []
        from_ = self.state.seq
        for _ in range(min(count, len(self.queue))):
            side, claim = self.queue.popleft()
            reply = self._decide(claim.request, events)
            self.decided.append((claim, reply))
            answers.append((side, claim, reply))
        if answers:
            self.stream.append(Record(from_, self.now_ms, tuple(events), answers))

    def _decide(self, request: Request, events: list[Event]) -> Reply:
        known = self.outcomes.get((request.sender.user, request.id))
        if known is not None:
            return known
        assert self.state is not None
        decision = decide(self.state, request, self.now_ms, self.rng, RULES)
        reply: Reply
        if isinstance(decision, Decided):
            for event in decision.events:
                self.state = evolve(self.state, event, self.state.seq, self.now_ms)
            events += decision.events
            reply = Accepted(request.id, self.state.seq, decision.result)
        else:
            reply = Refused(request.id, decision.code, decision.detail, self.state.seq)
        self.outcomes[request.sender.user, request.id] = reply
        return reply

    def _record(self, events: tuple[Event, ...], answers: list[tuple[int, Claim, Reply]]) -> None:
        from_ = self.state.seq if self.state else 0
        for event in events:
            self.state = evolve(self.state, event, self.state.seq if self.state else 0, self.now_ms)
        self.stream.append(Record(from_, self.now_ms, events, answers))

    # The gateways

    def side(self, *, replay_buffer: bool = True) -> Side:
        """A gateway that begins to hold the room now, with or without a past."""
        assert self.state is not None
        side = Side(copy.deepcopy(self.state), len(self.stream))
        past = [EventSpan(r.from_, r.events, r.time_ms) for r in self.stream if r.events] if replay_buffer else []
        side.admission_queues.begin(keyframe(ROOM, self.state, self.now_ms, RULES), past)
        return side

    def leap(self, at: int) -> None:
        """A side misses what is in the stream now and goes on at a keyframe."""
        assert self.state is not None
        side = self.sides[at]
        side.read, side.state = len(self.stream), copy.deepcopy(self.state)
        side.admission_queues.begin(keyframe(ROOM, self.state, self.now_ms, RULES), ())

    def claim(self, at: int, user: str, command_id: str, quantity: int = 1, *, watched_s: int = WATCHED_S, address_hash: str = "") -> int:
        """A viewer claims; returns the command's number, under which its answer comes."""
        number, self.sent = self.sent, self.sent + 1
        claims: dict[str, Command] = {
            "envelope": GrabRedEnvelope(self.thing),
            "coupon": ClaimCoupon(self.thing),
            "sale": ReserveStock(self.thing, quantity),
        }
        command = claims[self.kind]
        request = Request(command_id, ROOM, Sender(user, user, watched_s=watched_s, address_hash=address_hash), command)
        side = self.sides[at]
        queue = side.admission_queues.find(command, live=True)
        if queue is None:  # the offer is over and forgotten here; the engine knows it
            claim = Claim(None, request, _units_of(command), 0, 0)
            claim.callbacks.append((request, partial(self._tell, number)))
            self.queue.append((at, claim))
            return number
        side.queues_met[queue] = None
        if queue.claim(request, _units_of(command), partial(self._tell, number), self.now_ms / 1000) is None:
            mine = sum(claim.queued and claim.request.sender.user == user for claim in queue._claims.values())
            assert mine == PLACES_PER_USER_MAX, "only who has as many places as one may is turned away"
            self._tell(number, Refused(command_id, "overloaded", ""))
        self._settle(at, queue)
        return number

    def read(self, at: int) -> None:
        """A side reads one record: first its events, then its answers."""
        side = self.sides[at]
        if side.read == len(self.stream):
            return
        record = self.stream[side.read]
        side.read += 1
        for i, event in enumerate(record.events):
            side.admission_queues.apply(record.from_ + i, event)
            side.state = evolve(side.state, event, record.from_ + i, record.time_ms)
        for queue in side.admission_queues.take_changed():
            self._settle(at, queue)
        for index, claim, reply in record.answers:
            if index == at and claim.key is None:
                for _, on_reply in claim.callbacks:
                    on_reply(reply)
            elif index == at and (found := side.under_way.pop(claim, None)):
                self._answer(at, found, claim, reply)

    def lose(self, at: int) -> None:
        """A side gives up on the oldest claim that it waits for; the engine may decide it all the same."""
        side = self.sides[at]
        if side.under_way:
            claim = next(iter(side.under_way))
            self.lost += 1
            self._answer(at, side.under_way.pop(claim), claim, Refused(claim.request.id, "unavailable", ""))

    def wait(self) -> None:
        """Everything on its way arrives; then time passes until nobody waits any longer."""
        self.catch_up()
        self.now_ms += int(WAIT_S * 1_000)
        for at, side in enumerate(self.sides):
            for queue in side.queues_met:
                self._settle(at, queue)
        self.catch_up()

    def catch_up(self) -> None:
        """Everything on its way arrives."""
        while self.queue or any(side.read < len(self.stream) for side in self.sides):
            self.decide(5)
            for at in range(len(self.sides)):
                self.read(at)

    def pass_due(self, duration_ms: int) -> None:
        """Time passes at the engine, and holds expire; nobody's patience ends, since what is on its way arrives first."""
        self.wait()
        self.now_ms += duration_ms
        assert self.state is not None
        if events := decide_due(self.state, self.now_ms):
            self._record(events, [])

    def _settle(self, at: int, queue: AdmissionQueue) -> None:
        side = self.sides[at]
        while step := queue.next(self.now_ms / 1000):
            if step.code:
                self._refuse(side, step)
            else:
                self.queue.append((at, step.claim))
                side.under_way[step.claim] = queue
                if step.claim.counted:
                    side.counted.append(step.claim)

    def _refuse(self, side: Side, step: AdmissionStep) -> None:
        """Only what the rules refuse with the same code in the room as this side knows it, and never what was granted before."""
        request = step.claim.request
        assert step.code != "overloaded", "while there are units the line moves"
        decision = decide(side.state, request, self.now_ms, self.rng, RULES)
        assert isinstance(decision, Refusal), "there were units"
        assert decision.code == step.code
        assert not isinstance(self.outcomes.get((request.sender.user, request.id)), Accepted), "it was granted before"
        for later in side.counted:
            assert later.number < step.claim.number or later.units < step.claim.units, "others went first"
        self.refused_here.append((step.claim, step.code))
        for _, on_reply in step.claim.callbacks:
            on_reply(Refused("", step.code, ""))

    def _answer(self, at: int, queue: AdmissionQueue, claim: Claim, reply: Reply) -> None:
        for on_reply in queue.answered(claim, self.now_ms / 1000):
            on_reply(reply)
        self._settle(at, queue)

    def _tell(self, number: int, reply: Reply) -> None:
        self.told[number].append(reply)
