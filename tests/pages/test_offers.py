"""Money parts that both pages share: amounts, countdowns, bars, texts."""

from __future__ import annotations

import pytest

from tests.pages.conftest import ON_ONE_LOOP, Stage

pytestmark = ON_ONE_LOOP

MONEY = """async () => {
    const { money, shortMoney, yuanOf, fenOf, FEN_MAX } = await import("/static/js/money.js");
    const wrong = [];
    for (let round = 0; round < 20_000; round += 1) {
        const fen = Math.floor(Math.random() ** 4 * FEN_MAX);
        const text = money(fen).replace(/[¥,]/g, "");
        if (fenOf(yuanOf(fen)) !== fen || text !== yuanOf(fen)) wrong.push([fen, yuanOf(fen), text]);
    }
    const written = ["0.29", "1.1", "¥ 19.9", "５．５", "8,5", "1000000000", "20元"].map(fenOf);
    const refused = ["", "-1", "1.234", "1,000", "1e3", "0x10", "1000000000.01", "12345678901", "1 0", "a", ".5", "NaN"].map(fenOf);
    return { wrong, written, refused, shown: [money(100_000_000_000), money(7), shortMoney(2_000), shortMoney(1_290), yuanOf(-5)] };
}"""

BAR = """async () => {
    const { stockBar, drawStock } = await import("/static/js/stock-bar.js");
    const bar = stockBar(["sold", "held", "available"]);
    document.body.append(bar);
    bar.style.width = "1000px";
    const widths = () => [...bar.children].map((part) => Math.round(part.getBoundingClientRect().width));
    drawStock(bar, { sold: 0, held: 30, available: 70 }, "thirty held");
    const first = widths();
    drawStock(bar, { sold: 1, held: 0, available: 999_999 }, "one sold");
    return { first, second: widths(), label: bar.getAttribute("aria-label") };
}"""

COUNTDOWN = """async () => {
    const { timeLeft, countdown, runCountdowns } = await import("/static/js/countdown.js");
    const server = { ms: 1_000_000 };
    const element = countdown(1_012_400, { class: "mine" });
    document.body.replaceChildren(element);
    const draw = runCountdowns(() => server.ms);
    const seen = [];
    for (const ms of [1_000_000, 1_003_000, 1_012_399, 1_020_000]) {
        server.ms = ms;
        draw();
        seen.push([element.textContent, element.className]);
    }
    return { seen, long: [59_001, 3_600_000, 86_399_000, 172_800_000].map(timeLeft) };
}"""


async def test_amounts_are_exact_to_the_fen(stage: Stage) -> None:
    """Every amount that the server takes survives being shown and read again. An ambiguous text is no amount."""
    page = await stage.open("/")
    found = await page.evaluate(MONEY)
    assert found["wrong"] == []
    assert found["written"] == [29, 110, 1_990, 550, 850, 100_000_000_000, 2_000]
    assert found["refused"] == [None] * 12
    assert found["shown"] == ["¥1,000,000,000.00", "¥0.07", "¥20", "¥12.90", "-0.05"]
    assert stage.complaints == []


async def test_a_stock_bar_shows_shares(stage: Stage) -> None:
    """Each kind is as wide as its share; one of a million is still seen; a screen reader hears the words."""
    found = await (await stage.open(stage.console_path)).evaluate(BAR)
    assert found["first"][0] == 0
    assert found["first"][1] == pytest.approx(300, abs=3)
    assert found["first"][2] == pytest.approx(700, abs=3)
    assert found["second"][0] >= 3
    assert found["label"] == "one sold"
    assert stage.complaints == []


async def test_countdowns_run_on_the_clock_they_are_given(stage: Stage) -> None:
    """Whole seconds rounded up, never below zero, marked when it is near."""
    found = await (await stage.open("/")).evaluate(COUNTDOWN)
    assert found["seen"] == [
        ["0:13", "countdown mine"],
        ["0:10", "countdown mine is-near"],
        ["0:01", "countdown mine is-near"],
        ["0:00", "countdown mine is-near"],
    ]
    assert found["long"] == ["1:00", "1:00:00", "23:59:59", "2 days"]
    assert stage.complaints == []


async def test_offers_are_told_in_both_languages(stage: Stage) -> None:
    """A coupon's terms and an envelope's condition read as people say them; a Chinese percentage is what remains."""
    script = """async () => {
        const { discountWords, minimumWords } = await import("/static/js/features/coupon/terms.js");
        const { conditionWords } = await import("/static/js/features/red_envelope/condition.js");
        const amount = { amount_fen: 2_000, min_spend_fen: 9_900 };
        const terms = [amount, { percent_off: 15, discount_max_fen: 3_000 }, { percent_off: 20 }, { percent_off: 100 }];
        const conditions = [{}, { keyword: "hi", watched_s: 30 }];
        return [...terms.map(discountWords), ...terms.slice(0, 2).map(minimumWords), ...conditions.map(conditionWords)];
    }"""
    assert await (await stage.open("/?lang=en")).evaluate(script) == [
        *("¥20 off", "15% off, up to ¥30", "20% off", "Free"),
        *("orders from ¥99", "no minimum", "", "say “hi” in chat and watch for 30 s"),
    ]
    assert await (await stage.open("/?lang=zh")).evaluate(script) == [
        *("减 ¥20", "8.5 折，最多减 ¥30", "8 折", "免单"),
        *("满 ¥99 可用", "无门槛", "", "评论“hi”且观看满 30 秒"),
    ]
    assert stage.complaints == []
