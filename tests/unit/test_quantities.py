"""Quantities are read as people write them, and what is written for machines is read back as the same."""

from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline import quantities
from pipeline.config import Config
from pipeline.policy.retention.rules import Rules
from pipeline.quantities import Duration, Percent, Size, http_date
from pipeline.upload.order import Order

AMOUNTS = st.floats(min_value=0, max_value=2**62, allow_nan=False)


@pytest.mark.parametrize("kind", [Duration, Percent])
@given(amount=AMOUNTS)
@example(amount=30 * 86400.0)
@example(amount=1e-7)
@example(amount=1e6)
@example(amount=0.0)
def test_an_amount_survives_json(kind: Any, amount: float) -> None:
    adapter = TypeAdapter(kind)
    assert adapter.validate_json(adapter.dump_json(amount)) == amount


@given(amount=st.integers(min_value=0, max_value=2**63))
@example(amount=2**53 + 1)
def test_a_size_survives_json_to_the_byte(amount: int) -> None:
    adapter = TypeAdapter(Size)
    assert adapter.validate_json(adapter.dump_json(amount)) == amount


def _required(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    inside = [
        found
        for annotation in get_type_hints(model).values()
        for found in (annotation, *get_args(annotation))
        if isinstance(found, type) and issubclass(found, BaseModel)
    ]
    return [model, *(deeper for found in inside for deeper in _models(found))]


@pytest.mark.parametrize("model", [model for model in _models(Config) if not _required(model)])
def test_the_defaults_of_every_table_survive_json(model: type[BaseModel]) -> None:
    assert model.model_validate_json(model().model_dump_json()) == model()


def test_the_usual_retention_reaches_the_container_that_prunes_disks() -> None:
    order = Order(image="os", kept=(), rules=Rules(), now=datetime.now(UTC))
    assert Order.model_validate_json(order.model_dump_json()) == order


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration, "90s", 90.0),
        (Duration, "1h30m", 5400.0),
        (Duration, "250ms", 0.25),
        (Duration, "30d", 2592000.0),
        (Size, "1.5 GiB", 1610612736),
        (Size, "20GB", 20 * 10**9),
        (Percent, "12.5 %", 12.5),
    ],
)
def test_what_people_write(kind: Any, text: str, value: float) -> None:
    assert TypeAdapter(kind).validate_python(text) == value


@pytest.mark.parametrize("kind", [Duration, Size, Percent])
@pytest.mark.parametrize("text", ["", "90", "s", "-5s", "2e6s", "9" * 400 + "d", "9" * 25 + "TiB", "5 par", 5, None])
def test_what_is_no_quantity_is_refused(kind: Any, text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


@given(amount=st.integers(min_value=0, max_value=2**40))
def test_what_reports_show_can_be_copied_into_the_file(amount: int) -> None:
    assert quantities.size(quantities.size_text(amount)) >= 0
    assert quantities.seconds(quantities.duration_text(amount)) >= 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Fri, 27 Nov 2026 09:00:00 GMT", datetime(2026, 11, 27, 9, tzinfo=UTC)),
        ("Fri, 27 Nov 2026 09:00:00", datetime(2026, 11, 27, 9, tzinfo=UTC)),
        ("Fri, 27 Nov 2026 09:00:00 -0000", datetime(2026, 11, 27, 9, tzinfo=UTC)),  # the zone is not known
        ("Fri, 31 Dec 9999 23:59:59 -1400", None),
        ("Fri, 27 Nov 99999999999999999999 09:00:00 GMT", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_the_time_of_a_header_is_one_of_utc_or_none(text: str, found: datetime | None) -> None:
    assert http_date(text) == found


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("20", 20), ("9" * 18, 10**18 - 1)])
def test_a_count_of_a_server_is_read(text: str, count: int) -> None:
    assert quantities.whole(text) == count


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", " 1", "1_000", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT TWO}", "9" * 5000]
)
def test_what_is_no_count_is_none(text: str) -> None:
    assert quantities.whole(text) is None
