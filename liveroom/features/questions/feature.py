"""The feature questions, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.feature import Feature
from liveroom.features.questions.messages import (
    REFUSALS,
    AnswerQuestion,
    AskQuestion,
    DismissQuestion,
    PickQuestion,
    QuestionAnswered,
    QuestionAsked,
    QuestionDismissed,
    QuestionPicked,
)
from liveroom.features.questions.routes import ROUTES
from liveroom.features.questions.settings import QuestionsSettings
from liveroom.features.questions.view import DETAILS, VIEWS

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="questions",
    rules="liveroom.features.questions.rules",
    needs=("chat",),
    refusals=REFUSALS,
    settings=QuestionsSettings,
    commands=(
        AskQuestion,
        PickQuestion,
        AnswerQuestion,
        DismissQuestion,
    ),
    events=(
        QuestionAsked,
        QuestionPicked,
        QuestionAnswered,
        QuestionDismissed,
    ),
    views=VIEWS,
    details=DETAILS,
    routes=ROUTES,
)
